"""The Deployment that runs the server."""

from __future__ import annotations

from typing import Any

from ocr_operator.core import template
from ocr_operator.core.builders.labels import selector_labels
from ocr_operator.core.builders.owner import child_metadata, sealed
from ocr_operator.core.resolve import Resolved
from ocr_operator.startup.probes import given_budget, min_ready, progress_deadline

REVISION_HISTORY = 2
"""Old ReplicaSets kept: each carries a copy of our annotations, and so of a whole template."""

Json = dict[str, Any]


def deployment(owner: Resolved, pod_template: Json, annotations: dict[str, str]) -> Json:
    """Around a rendered template. All that depends on a start is read from that template, not from
    newer measurements, so that it changes together with the probes and never by itself."""
    probes = template.read_probes(pod_template)
    surge = not template.uses_gpu(pod_template)
    min_ready_seconds = min_ready(owner.replicas, probes.readiness)
    deadline = progress_deadline(
        given_budget(probes.startup),
        template.grace_period(pod_template),
        surge=surge,
        min_ready_seconds=min_ready_seconds,
    )
    return sealed(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": child_metadata(owner, annotations),
            "spec": {
                "replicas": owner.replicas,
                "revisionHistoryLimit": REVISION_HISTORY,
                "progressDeadlineSeconds": deadline,
                "minReadySeconds": min_ready_seconds,
                "selector": {"matchLabels": selector_labels(owner.key.name)},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": _rolling_update(surge)},
                "template": pod_template,
            },
        }
    )


def _rolling_update(surge: bool) -> Json:
    """A new pod first, where there is room for one; else an old pod goes first."""
    return {"maxSurge": 1, "maxUnavailable": 0} if surge else {"maxSurge": 0, "maxUnavailable": 1}
