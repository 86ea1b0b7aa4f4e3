"""The record of a start. Time is passed in."""

from __future__ import annotations

import time

import pytest

from ocr_inference.startup import StartRecord, StartState, StartupDocument, process_began


def start() -> StartRecord:
    record = StartRecord("pp-ocr", "6", "native", None, began=100.0)
    record.spawned(100.2)
    return record


def load(record: StartRecord, *times: float, names: tuple[str, ...] = ("import", "warmup")) -> None:
    """One phase after the other; `times`: the first one's beginning, then the ends."""
    record.planned(names, "6")
    for name, begin, end in zip(names, times[:-1], times[1:], strict=True):
        record.phase(name, "running", begin)
        record.phase(name, "done", end)


def seconds(document: StartupDocument) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in document.phases}


def test_a_start_adds_up_to_the_time_it_took() -> None:
    record = start()
    load(record, 100.5, 102.0, 103.0)
    record.answering(101.0)
    record.ready({"a": "1"}, "cpu")
    document = record.document(500.0, [])
    # Until 101 the process itself was starting; that time is not counted again for `import`.
    assert seconds(document) == {"process": 1.0, "import": 1.0, "warmup": 1.0}
    assert document.init_seconds == 3.0
    assert (document.state, document.device, document.attempts) == (StartState.READY, "cpu", 1)


def test_an_engine_that_is_ready_before_the_process_costs_nothing_more() -> None:
    record = start()
    load(record, 100.3, 100.4, 100.5)
    record.ready({}, "cpu")
    record.answering(101.0)
    assert record.document(200.0, []).init_seconds == 1.0


def test_the_time_before_the_first_phase_belongs_to_it() -> None:
    record = start()
    record.answering(100.1)
    record.planned(["import"], "6")
    record.phase("import", "running", 101.0)
    assert seconds(record.document(102.0, [])) == {"process": 0.1, "import": 1.8}


def test_states_follow_the_phases() -> None:
    record = start()
    states = [record.state]
    record.planned(["load_model", "warmup"], "6")
    record.phase("load_model", "running", 101)
    states.append(record.state)
    record.phase("warmup", "running", 102)
    states.append(record.state)
    record.ready({}, "cpu")
    states.append(record.state)
    assert states == ["starting", "loading", "warming", "ready"]


def test_a_failed_start_stays_failed_until_a_later_attempt_is_ready() -> None:
    record = start()
    record.answering(101.0)
    record.planned(["load_model"], "6")
    record.phase("load_model", "running", 101.0)
    record.failed("load_model: no weights", 102.0)
    failed = record.document(110.0, [])
    assert (failed.state, failed.error) == (StartState.FAILED, "load_model: no weights")
    assert [phase.state for phase in failed.phases] == ["done", "failed"]
    assert record.outcome_known

    record.spawned(120.0)
    record.planned(["load_model"], "6")
    record.phase("load_model", "running", 120.5)
    assert record.document(121.0, []).state is StartState.FAILED
    record.phase("load_model", "done", 122.0)
    record.ready({}, "cpu")
    done = record.document(200.0, [])
    assert (done.state, done.error, done.attempts) == (StartState.READY, None, 2)
    # The attempt that failed and the wait before the next are not part of it.
    assert done.init_seconds == pytest.approx(1.0 + 2.0)


def test_a_start_is_counted_once() -> None:
    record = start()
    record.answering(101.0)
    load(record, 101.0, 102.0, 103.0)
    record.ready({}, "cpu")
    before = record.document(200.0, [])
    record.spawned(300.0)  # a replaced engine child
    load(record, 301.0, 310.0, 320.0)
    record.failed("lost", 321.0)
    record.ready({}, "gpu")
    assert record.document(400.0, []) == before


def test_the_age_of_this_process_is_known() -> None:
    age = time.monotonic() - process_began()
    assert 0 <= age < 3600
