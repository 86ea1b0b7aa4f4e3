"""Events: said once in ten minutes, never waited for, never a reason to fail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from fake_api import Clock
from kube_objects import ocr_service

from ocr_operator.core.observed import ServiceView
from ocr_operator.core.plan import Event, EventType
from ocr_operator.runtime.errors import Forbidden
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.recorder import WAITING_EVENTS, Recorder, shorten
from ocr_operator.runtime.views import pack_service, unpack_service

NOW = datetime(2026, 11, 1, 10, 0, 0, 123456, tzinfo=UTC)
SERVICE = unpack_service(pack_service(ocr_service()))


def event(note: str = "Deployment invoices created", reason: str = "Created") -> Event:
    return Event(EventType.NORMAL, reason, "Create", note)


class Sent:
    """Takes events, and refuses those whose note says so."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def __call__(self, manifest: dict[str, Any]) -> None:
        if manifest["note"] == "refused":
            raise Forbidden("no rights", 403)
        self.events.append(manifest)


class Stage:
    def __init__(self) -> None:
        self.sent, self.clock, self.metrics = Sent(), Clock(), Metrics()
        self.recorder = Recorder(self.sent, "operator-0", self.metrics, lambda: NOW, self.clock)

    async def settle(self) -> list[str]:
        task = asyncio.ensure_future(self.recorder.run())
        async with asyncio.timeout(5):
            await self.recorder.drained()
        task.cancel()
        return [sent["note"] for sent in self.sent.events]

    def dropped(self) -> float | None:
        return self.metrics.registry.get_sample_value("ocr_operator_events_dropped_total")


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.asyncio
async def test_an_event_is_about_the_service(stage: Stage) -> None:
    stage.recorder.record(SERVICE, event())
    await stage.settle()
    [sent] = stage.sent.events
    name = sent["metadata"].pop("name")
    assert name.startswith("invoices.")
    assert sent == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "team-a"},
        "eventTime": "2026-11-01T10:00:00.123456Z",
        "type": "Normal",
        "reason": "Created",
        "action": "Create",
        "note": "Deployment invoices created",
        "regarding": {
            "apiVersion": "ocr-operator.dev/v1alpha1",
            "kind": "OcrService",
            "namespace": "team-a",
            "name": "invoices",
            "uid": "service-uid",
        },
        "reportingController": "ocr-operator.dev/ocr-operator",
        "reportingInstance": "operator-0",
    }


@pytest.mark.asyncio
async def test_the_same_is_not_said_again_for_ten_minutes(stage: Stage) -> None:
    assert stage.recorder.record(SERVICE, event())
    stage.clock.pass_(599)
    assert not stage.recorder.record(SERVICE, event())
    assert stage.recorder.record(SERVICE, event(reason="Repaired"))
    assert stage.recorder.record(SERVICE, event(note="Service invoices created"))
    stage.clock.pass_(2)
    assert stage.recorder.record(SERVICE, event())
    assert len(await stage.settle()) == 4


@pytest.mark.asyncio
async def test_a_new_object_of_the_same_name_hears_everything_again(stage: Stage) -> None:
    body = ocr_service()
    body["metadata"]["uid"] = "successor"
    successor: ServiceView = unpack_service(pack_service(body))
    assert stage.recorder.record(SERVICE, event())
    assert stage.recorder.record(successor, event())


@pytest.mark.asyncio
async def test_an_event_that_is_refused_does_not_keep_the_next_one(stage: Stage) -> None:
    stage.recorder.record(SERVICE, event(note="refused"))
    stage.recorder.record(SERVICE, event(note="accepted"))
    assert await stage.settle() == ["accepted"]
    assert stage.dropped() == 1


@pytest.mark.asyncio
async def test_when_too_many_wait_the_newest_is_given_up(stage: Stage) -> None:
    taken = [stage.recorder.record(SERVICE, event(note=str(n))) for n in range(WAITING_EVENTS + 3)]
    assert taken.count(True) == WAITING_EVENTS
    assert stage.dropped() == 3


@pytest.mark.asyncio
async def test_what_was_said_is_not_remembered_for_ever(stage: Stage) -> None:
    for n in range(100):
        stage.recorder.record(SERVICE, event(note=str(n)))
        stage.clock.pass_(60)
    assert len(stage.recorder._said) <= 11


def test_a_long_note_is_cut_to_what_the_api_server_takes() -> None:
    assert shorten("short") == "short"
    for letter in ("x", "é", "字", "🙂"):
        note = shorten(letter * 2000)
        assert len(note.encode()) <= 1024
        assert note.endswith("…")
        assert set(note) == {letter, "…"}
