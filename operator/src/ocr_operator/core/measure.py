"""Starts as they are seen in pods, and which startup documents are to be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from ocr_operator.core import image, reasons
from ocr_operator.core.actions import Scrape
from ocr_operator.core.observed import DocumentReading, Observed, PodView
from ocr_operator.core.quantity import plain
from ocr_operator.core.resolve import Resolved
from ocr_operator.core.written import read_status, written_condition
from ocr_operator.startup.profile import Profile, knows
from ocr_operator.startup.sample import (
    Document,
    DocumentState,
    Start,
    StartKey,
    start_from_document,
    start_from_pod,
)

CPU = "cpu"
UNKNOWN_DEVICE = "unknown"
"""Of a GPU service whose image has no document: nobody can say which card it was."""

READ_SHARE = 1 / 10
"""Of a start between two readings of a loading container."""
SHORTEST_READ_SECONDS = 2.0
WARNING_READ_SECONDS = 60.0
"""A missing Secret is noticed when it has appeared within a minute."""
WATCH_READ_SECONDS = 300.0
"""Of a ready pod with Secrets, which may be deleted under it: a thousand services cost 3 readings a
second and no reconcile. Without its keys a pod is not ready, and is read more often by itself."""
LONGEST_READ_SECONDS = 300.0
"""Back-off of a pod that does not answer."""
ATTEMPTS_WHEN_READY = 2
"""Readings of a ready pod that may fail before its own timestamps have to do."""
ATTEMPTS = 8
"""Readings of a ready pod that may fail before it is left alone: it has no document."""
DOCUMENT_WAIT_SECONDS = 3.0
"""What a ready pod's document may take to be read, until the status is written without it."""
TIMESTAMP_SECONDS = 1.0
"""Kubernetes cuts times to whole seconds."""


@dataclass(frozen=True, slots=True)
class OwnStart:
    """A recorded start of one of the service's pods."""

    profile: Profile
    start: Start

    @property
    def measured_at(self) -> datetime:
        return measured_at(self.start)


def measured_at(start: Start) -> datetime:
    """When the start was over, to the millisecond, as the status shows it."""
    moment = start.started_at + timedelta(seconds=start.seconds)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def own_starts(observed: Observed, reference: str) -> list[OwnStart]:
    """Recorded starts of the pods that are there and have this image, oldest first."""
    containers = {
        pod.container_id for pod in observed.pods if pod.container_id and pod.image == reference
    }
    found = [
        OwnStart(profile, start)
        for profile in observed.profiles
        for start in profile.starts
        if start.container_id in containers
    ]
    return sorted(found, key=lambda own: (own.measured_at, own.start.container_id))


def living(observed: Observed) -> Iterator[PodView]:
    """Pods that are to stay, by name, so that what is said of the first one stays the same."""
    for pod in sorted(observed.pods, key=lambda pod: pod.name):
        if not pod.deleting and pod.phase not in ("Failed", "Succeeded"):
            yield pod


def new_starts(
    observed: Observed, service: Resolved, now: datetime
) -> tuple[tuple[StartKey, Start], ...]:
    """Starts that pods have had and no profile knows yet."""
    found = []
    for pod in living(observed):
        reading = observed.readings.get(pod.container_id)
        measured = _measured(pod, reading, service, now)
        if measured is not None and not _recorded(observed, *measured):
            found.append(measured)
    return tuple(found)


def scrapes(
    observed: Observed, port: int, center: float, now: datetime, *, watched: bool = False
) -> tuple[Scrape, ...]:
    """Documents that are to be read, with the moment from which on. `watched` are those that may
    warn of something after all was well."""
    found = []
    for pod in living(observed):
        due_at = _due_at(observed, pod, center, now, watched)
        if due_at is not None and pod.pod_ip:
            found.append(Scrape(pod.container_id, pod.pod_ip, port, due_at))
    return tuple(found)


def awaited_until(observed: Observed, pod: PodView) -> datetime | None:
    """Until when a ready pod's unread document is worth waiting for; None when it is not."""
    if not pod.ready or pod.containers_ready_at is None or pod.started_at is None:
        return None
    reading = observed.readings.get(pod.container_id)
    read = reading is not None and _is_ready(reading.document)
    failed = reading is not None and reading.failures >= ATTEMPTS_WHEN_READY
    if read or failed or _known_container(observed, pod):
        return None
    return pod.containers_ready_at + timedelta(seconds=TIMESTAMP_SECONDS + DOCUMENT_WAIT_SECONDS)


def _measured(
    pod: PodView, reading: DocumentReading | None, service: Resolved, now: datetime
) -> tuple[StartKey, Start] | None:
    if pod.started_at is None or not pod.container_id or reading is None:
        return None
    document = reading.document
    if document is not None and document.model not in (service.model.engine, service.model.name):
        # A pod of the model that was served before.
        return None
    start = None
    if document is not None:
        shown = (_ready_at(pod) or reading.read_at) - pod.started_at
        start = start_from_document(
            pod.container_id, pod.started_at, document, shown.total_seconds()
        )
    if start is None and _must_do_without(pod, reading, now):
        start = _from_timestamps(pod)
    return None if start is None else (_key(pod, document, service), start)


def _must_do_without(pod: PodView, reading: DocumentReading, now: datetime) -> bool:
    """Whether the Pod's own times have to do: it is ready, and its document is not to be had, or
    says what cannot be."""
    ready_at = _ready_at(pod)
    if not pod.ready or ready_at is None:
        return False
    if reading.document is not None:
        return _is_ready(reading.document)
    waited = now - ready_at >= timedelta(seconds=TIMESTAMP_SECONDS + DOCUMENT_WAIT_SECONDS)
    return reading.failures >= ATTEMPTS_WHEN_READY or (reading.failures > 0 and waited)


def _from_timestamps(pod: PodView) -> Start | None:
    """Only of a first start and a single container: later, or with others beside it, the Pod's
    readiness tells of something else."""
    ready_at = _ready_at(pod)
    if pod.restart_count or pod.container_count != 1 or ready_at is None or pod.started_at is None:
        return None
    return start_from_pod(pod.container_id, pod.started_at, ready_at, pod.startup_period_seconds)


def _ready_at(pod: PodView) -> datetime | None:
    """When the container that runs now became ready; None while it is not."""
    if pod.containers_ready_at is None or pod.started_at is None:
        return None
    return pod.containers_ready_at if pod.containers_ready_at >= pod.started_at else None


def _key(pod: PodView, document: Document | None, service: Resolved) -> StartKey:
    device = (document.device if document else None) or (
        UNKNOWN_DEVICE if service.gpu_count else CPU
    )
    return StartKey(
        model=service.model.name,
        version=document.version if document else service.version,
        backend=document.backend if document else service.backend,
        repository=image.parse(pod.image).repository,
        digest=image.digest_of(pod.image_id),
        device=device,
        cpu_limit=plain(pod.cpu_limit) if device == CPU else "",
    )


def _recorded(observed: Observed, key: StartKey, start: Start) -> bool:
    return any(
        profile.key == key and knows(profile, start.container_id, start.started_at)
        for profile in observed.profiles
    ) or _in_a_profile(observed, start.container_id)


def _in_a_profile(observed: Observed, container_id: str) -> bool:
    return any(
        start.container_id == container_id
        for profile in observed.profiles
        for start in profile.starts
    )


def _known_container(observed: Observed, pod: PodView) -> bool:
    return bool(pod.container_id) and _in_a_profile(observed, pod.container_id)


def _due_at(
    observed: Observed, pod: PodView, center: float, now: datetime, watched: bool
) -> datetime | None:
    """When the document of this pod is to be read next; None when nothing of it is needed."""
    if pod.started_at is None or not pod.container_id:
        return None
    reading = observed.readings.get(pod.container_id)
    if pod.ready:
        return _due_when_ready(observed, pod, reading, now, watched)
    if reading is None:
        return now
    interval = max(SHORTEST_READ_SECONDS, center * READ_SHARE)
    return _after(reading, interval)


def _due_when_ready(
    observed: Observed, pod: PodView, reading: DocumentReading | None, now: datetime, watched: bool
) -> datetime | None:
    if reading is None:
        return None if not watched and _told(observed, pod) else now
    if reading.document is not None and reading.document.warnings:
        return _after(reading, WARNING_READ_SECONDS)
    silent = reading.failures >= ATTEMPTS
    if silent or _is_ready(reading.document) or _told(observed, pod):
        return _after(reading, WATCH_READ_SECONDS) if watched else None
    became_ready = pod.containers_ready_at
    unread = became_ready is not None and reading.read_at < became_ready and not reading.failures
    return now if unread else _after(reading, SHORTEST_READ_SECONDS)


def _after(reading: DocumentReading, interval: float) -> datetime:
    """The interval later, longer with each failure."""
    factor = 2.0 ** max(reading.failures - 1, 0)
    pause = max(interval, min(interval * factor, LONGEST_READ_SECONDS))
    return reading.read_at + timedelta(seconds=pause)


def _told(observed: Observed, pod: PodView) -> bool:
    """Whether a ready pod was read by an operator before this one, which saw nothing wrong. Where
    the status says that the service is degraded, only the document can tell by what."""
    degraded = written_condition(read_status(observed.service.status), reasons.DEGRADED)
    fine = degraded is None or degraded.status != "True"
    return fine and _known_container(observed, pod)


def _is_ready(document: Document | None) -> bool:
    return document is not None and document.state is DocumentState.READY
