"""Everything `plan` may know: immutable views made by the runtime from its cache. No API types, no
clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.startup.profile import Profile
from ocr_operator.startup.sample import Document


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """An OcrService."""

    namespace: str
    name: str


class ChildKind(StrEnum):
    """Kinds the operator makes; the values are Kubernetes' kinds."""

    DEPLOYMENT = "Deployment"
    SERVICE = "Service"


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The OcrService itself. `spec` is None when a stored object does not parse; `spec_error` says
    why."""

    key: Key
    uid: str
    generation: int
    annotations: Mapping[str, str]
    spec: OcrServiceSpec | None
    spec_error: str | None
    status: Mapping[str, Any]
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class LiveChild:
    """A child as the API shows it, without managedFields. `controller_uid` is the owner with
    `controller: true`."""

    kind: ChildKind
    name: str
    uid: str
    controller_uid: str | None
    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Termination:
    """`state.terminated` or `lastState.terminated` of the server's container."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of the service, reduced to what is used. Container fields are those of the container
    `server`."""

    name: str
    uid: str
    created_at: datetime
    deleting: bool
    phase: str
    pod_ip: str | None
    template_hash: str
    """Label `pod-template-hash`."""
    annotations: Mapping[str, str]
    image: str
    """From the Pod's spec."""
    image_id: str
    container_id: str
    """Empty before the first start."""
    container_count: int
    restart_count: int
    started_at: datetime | None
    """`state.running.startedAt`; None while the container does not run."""
    started: bool
    """The kubelet's `started`: the startup probe has succeeded."""
    ready: bool
    containers_ready_at: datetime | None
    """`ContainersReady.lastTransitionTime` while it is True."""
    waiting_reason: str
    waiting_message: str
    last_termination: Termination | None
    scheduled: bool
    unschedulable_message: str
    cpu_limit: str
    """Limit of the container as written, empty without one."""
    startup_period_seconds: int
    requests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentReading:
    """The newest reading of one container's startup document; `document` is None when it could not
    be read."""

    container_id: str
    document: Document | None
    read_at: datetime
    failures: int = 0
    """Readings in a row that failed."""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """One reconcile's view of the world."""

    service: ServiceView
    children: Mapping[ChildKind, LiveChild]
    """From the cache: objects that carry our managed-by label."""
    lookups: Mapping[ChildKind, LiveChild | None]
    """Results of GETs asked for by an earlier plan in the same reconcile; None is 404."""
    pods: tuple[PodView, ...]
    readings: Mapping[str, DocumentReading]
    """By container ID."""
    profiles: tuple[Profile, ...]
    """All profiles of this service's model, with starts that are recorded but not yet written."""
    refusals: Mapping[ChildKind, str] = field(default_factory=dict)
    """What the API server answered (403, 422) to the newest apply of this kind, one sentence; a
    kind that was accepted is absent. The runtime tries again with back-off, the plan makes a
    condition for as long as there is something to apply."""
