"""The Deployment's own account of its pods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocr_operator.core.observed import LiveChild

COMPLETE = "NewReplicaSetAvailable"
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Rollout:
    """As far as it is used. `current` means that the controller has seen the newest spec."""

    current: bool = False
    complete: bool = False
    """The newest ReplicaSet has been available; it stays so when a pod fails later."""
    stuck: bool = False
    """The progress deadline has passed."""
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    refusal: str = ""
    """Why pods cannot be created: a quota, a pod security standard."""

    def moving(self, wanted: int) -> bool:
        """Whether pods are on their way to what is wanted."""
        arrived = self.updated == wanted and self.replicas == wanted
        return not (self.current and self.complete and arrived)


def read_rollout(live: LiveChild | None) -> Rollout:
    """Read it; all zero without a Deployment or before its controller has looked at it."""
    status: Mapping[str, Any] = (live.manifest.get("status") if live else None) or {}
    conditions = {entry["type"]: entry for entry in status.get("conditions") or ()}
    progressing = conditions.get("Progressing", {}).get("reason", "")
    failure = conditions.get("ReplicaFailure", {})
    generation = live.manifest["metadata"].get("generation", 0) if live else 0
    return Rollout(
        current=live is not None and status.get("observedGeneration", 0) >= max(generation, 1),
        complete=progressing == COMPLETE,
        stuck=progressing == DEADLINE_EXCEEDED,
        replicas=status.get("replicas", 0),
        updated=status.get("updatedReplicas", 0),
        ready=status.get("readyReplicas", 0),
        refusal=failure.get("message", "") if failure.get("status") == "True" else "",
    )
