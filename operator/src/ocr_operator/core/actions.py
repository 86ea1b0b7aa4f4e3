"""What a plan is made of: data that the runtime carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from ocr_operator.core.observed import ChildKind
from ocr_operator.startup.catalogue import Catalogue
from ocr_operator.startup.sample import Start, StartKey

FIELD_MANAGER = "ocr-operator"
API_VERSION = "ocr-operator.dev/v1alpha1"
PREFIX = "ocr-operator.dev/"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the installation decides: catalogue and images, both chart values."""

    catalogue: Catalogue
    images: Mapping[str, str]
    """Image key of the catalogue (`cpu`, `gpu`) to a full reference."""
    image_pull_policy: str = "IfNotPresent"


@dataclass(frozen=True, slots=True)
class Apply:
    """One server-side apply. `force` is False only for a creation."""

    kind: ChildKind
    manifest: dict[str, Any]
    force: bool
    why: str
    """For the log and the event: `created`, `spec changed`, `drift: spec.template…image`."""


class EventType(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """An event on the OcrService. `action` is the verb of events.k8s.io, `note` one sentence."""

    type: EventType
    reason: str
    action: str
    note: str


@dataclass(frozen=True, slots=True)
class Scrape:
    """Read the startup document of this container, not before `due_at`."""

    container_id: str
    pod_ip: str
    port: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, all of it data."""

    lookups: tuple[ChildKind, ...] = ()
    """GET these by the service's name first, then plan again; nothing else is done in this
    round."""
    starts: tuple[tuple[StartKey, Start], ...] = ()
    """Newly measured starts: record them, then plan again."""
    apply: tuple[Apply, ...] = ()
    status: dict[str, Any] | None = None
    """The whole status to apply, None when the live one is right already."""
    events: tuple[Event, ...] = ()
    scrapes: tuple[Scrape, ...] = ()
    requeue_at: datetime | None = None
