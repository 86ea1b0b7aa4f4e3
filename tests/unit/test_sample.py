"""From a startup document or a Pod's timestamps to a measured start."""

from __future__ import annotations

from typing import Any

import pytest
from objects import NOW, document, seconds

from ocr_operator.startup.sample import (
    BadDocument,
    DocumentState,
    Source,
    parse_document,
    start_from_document,
    start_from_pod,
)

BODY: dict[str, Any] = {
    "schemaVersion": 1,
    "model": "pp-ocr",
    "version": "6",
    "backend": "native",
    "engine_versions": {},
    "device": "cpu",
    "cpu_limit": 2.0,
    "state": "ready",
    "phases": [{"name": "process", "seconds": 0.8, "state": "done"}],
    "init_seconds": 2.09,
    "attempts": 1,
    "error": None,
    "warnings": [{"code": "secret_missing", "message": "no keys"}],
}


def test_a_document_is_read() -> None:
    found = parse_document({**BODY, "something_new": [1, 2]})
    assert found.state is DocumentState.READY
    assert found.phases == {"process": 0.8}
    assert found.warnings == (("secret_missing", "no keys"),)
    assert (found.device, found.cpu_limit, found.init_seconds) == ("cpu", 2.0, 2.09)


def test_what_is_not_known_yet_is_none() -> None:
    found = parse_document({**BODY, "device": None, "cpu_limit": None, "init_seconds": None})
    assert (found.device, found.cpu_limit, found.init_seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schemaVersion": 2}, "schemaVersion is 2"),
        ({"schemaVersion": True}, "schemaVersion is True"),
        ({"state": "asleep"}, "asleep"),
        ({"model": 7}, "model is not a string"),
        ({"error": 7}, "error is not a string"),
        ({"init_seconds": "2"}, "init_seconds is not a number"),
        ({"init_seconds": -1}, "init_seconds is not a number"),
        ({"init_seconds": float("nan")}, "init_seconds is not a number"),
        ({"init_seconds": float("inf")}, "init_seconds is not a number"),
        ({"attempts": True}, "attempts is not a number"),
        ({"phases": None}, "wrong type"),
        ({"phases": [7]}, "wrong type"),
        ({"phases": [{"name": "a"}]}, "seconds is missing"),
        ({"warnings": [{"code": "a"}]}, "message is missing"),
        ({"attempts": 10**400}, "too large"),
        ({"device": "x" * 513}, "device has 513 characters"),
        ({"device": "half \ud800"}, "surrogates"),
        ({"phases": [{"name": f"p{n}", "seconds": 1} for n in range(33)]}, "33 phases"),
        ({"phases": [{"name": 1, "seconds": 1}]}, "name is not a string"),
        ({"phases": [{"name": "Load the model", "seconds": 1}]}, "name of a phase"),
    ],
)
def test_what_is_no_document_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(BadDocument, match=says):
        parse_document({**BODY, **change})


@pytest.mark.parametrize("name", sorted(BODY.keys() - {"schemaVersion", "engine_versions"}))
def test_a_missing_field_is_refused(name: str) -> None:
    with pytest.raises(BadDocument, match=f"{name} is missing"):
        parse_document({key: part for key, part in BODY.items() if key != name})


@pytest.mark.parametrize("body", [[], "ready", None, 7])
def test_what_is_no_object_is_refused(body: Any) -> None:
    with pytest.raises(BadDocument):
        parse_document(body)


def test_a_ready_document_is_a_start() -> None:
    found = start_from_document("c", NOW, document(), 3.0)
    assert found is not None
    assert (found.seconds, found.source, found.phases["warmup"]) == (2.09, Source.DOCUMENT, 0.31)


@pytest.mark.parametrize(("shown", "believed"), [(0.1, True), (0.09, True), (0.0, False)])
def test_a_document_may_claim_two_seconds_more_than_the_pod_shows(
    shown: float, believed: bool
) -> None:
    assert (start_from_document("c", NOW, document(), shown) is not None) is believed


@pytest.mark.parametrize(
    "change",
    [
        {"state": DocumentState.LOADING},
        {"state": DocumentState.FAILED},
        {"init_seconds": None},
        {"init_seconds": 0.0},
    ],
)
def test_a_document_without_an_outcome_is_no_start(change: dict[str, Any]) -> None:
    assert start_from_document("c", NOW, document(**change), 60.0) is None


def test_a_pods_timestamps_are_a_start_with_a_wide_resolution() -> None:
    found = start_from_pod("c", NOW, NOW + seconds(12), 2)
    assert found is not None
    assert (found.seconds, found.source, found.resolution) == (12.0, Source.POD, 3.0)


def test_a_start_within_a_second_counts_as_one() -> None:
    found = start_from_pod("c", NOW, NOW, 1)
    assert found is not None
    assert found.seconds == 1.0


def test_ready_before_the_start_is_another_containers() -> None:
    assert start_from_pod("c", NOW, NOW - seconds(1), 1) is None
