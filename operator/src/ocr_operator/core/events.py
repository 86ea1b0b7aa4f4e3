"""Events: each goes with a change that is made, so that none is repeated."""

from __future__ import annotations

from collections.abc import Iterator

from ocr_operator.api.v1alpha1 import Condition, OcrServiceStatus
from ocr_operator.core import reasons
from ocr_operator.core.actions import Apply, Event, EventType
from ocr_operator.core.written import written_condition

RECONCILE, REPORT = "Reconcile", "Report"
QUIET_REASONS = frozenset({reasons.STARTING, reasons.SUSPENDED, reasons.SERVING})
"""Of Ready: what a person asked for, or what is said as an event of its own."""


def change_events(changes: tuple[Apply, ...]) -> tuple[Event, ...]:
    """One for each child that is changed."""
    return tuple(_change(change) for change in changes)


def status_events(written: OcrServiceStatus, status: OcrServiceStatus) -> tuple[Event, ...]:
    """What is new between two statuses. Not every change of a sentence: a reason that is new."""
    return tuple(_status_events(written, status))


def _status_events(written: OcrServiceStatus, status: OcrServiceStatus) -> Iterator[Event]:
    ready, before = _both(written, status, reasons.READY)
    was_ready = before is not None and before.status == "True"
    told = {before.reason} if before else set()
    if ready.status == "True":
        if not was_ready:
            yield Event(EventType.NORMAL, reasons.READY, REPORT, ready.message)
    elif ready.reason not in told | QUIET_REASONS:
        yield Event(EventType.WARNING, ready.reason, REPORT, ready.message)
    elif was_ready and ready.reason == reasons.SUSPENDED:
        yield Event(EventType.NORMAL, reasons.SUSPENDED, REPORT, ready.message)
    degraded, known = _both(written, status, reasons.DEGRADED)
    new = known is None or (known.status, known.reason) != (degraded.status, degraded.reason)
    if degraded.status == "True" and new and degraded.reason != ready.reason:
        yield Event(EventType.WARNING, degraded.reason, REPORT, degraded.message)


def _both(
    written: OcrServiceStatus, status: OcrServiceStatus, kind: str
) -> tuple[Condition, Condition | None]:
    now = written_condition(status, kind)
    if now is None:
        raise ValueError(f"a status without {kind}")
    return now, written_condition(written, kind)


def _change(change: Apply) -> Event:
    name = change.manifest["metadata"]["name"]
    subject = f"{change.kind.value} {name}"
    reason = next(
        (reason for word, reason in REASONS.items() if change.why.startswith(word)),
        reasons.UPDATED,
    )
    return Event(EventType.NORMAL, reason, RECONCILE, f"{subject}: {change.why}.")


REASONS = {
    "created": reasons.CREATED,
    "adopted": reasons.ADOPTED,
    "drift": reasons.REPAIRED,
}
"""By how `Apply.why` begins; anything else is an update."""
