"""Conditions keep their time, and numbers move only when they really do."""

from __future__ import annotations

from typing import Any

import pytest
from objects import NOW, seconds
from simulated import cluster

from ocr_operator.api.v1alpha1 import (
    AppliedProbe,
    OcrServiceStatus,
    ProbeNumbers,
    StartupStatus,
)
from ocr_operator.core import reasons
from ocr_operator.core.conditions import moved, pending
from ocr_operator.core.verdict import Verdict, dated
from ocr_operator.core.written import read_status, written_condition

LATER = NOW + seconds(90.5)


def said(status: bool = True, reason: str = "A", message: str = "a") -> dict[str, Verdict]:
    return dict.fromkeys(reasons.CONDITIONS, Verdict(status, reason, message))


def written(verdicts: dict[str, Verdict]) -> OcrServiceStatus:
    return OcrServiceStatus(conditions=dated(verdicts, OcrServiceStatus(), 1, NOW))


@pytest.mark.parametrize(
    ("verdicts", "since"),
    [
        (said(), NOW),
        (said(reason="B", message="b"), NOW),
        (said(status=False), NOW + seconds(90)),
    ],
)
def test_the_time_is_that_of_the_last_change_of_the_status(
    verdicts: dict[str, Verdict], since: Any
) -> None:
    for condition in dated(verdicts, written(said()), 2, LATER):
        assert condition.last_transition_time == since
        assert condition.observed_generation == 2


def test_all_six_are_always_there_in_the_same_order() -> None:
    found = [condition.type for condition in dated(said(), OcrServiceStatus(), 1, NOW)]
    assert found == [
        "Ready",
        "Progressing",
        "ModelLoaded",
        "ProbesTuned",
        "CapacityAvailable",
        "Degraded",
    ]


def test_a_status_survives_the_way_to_the_api_and_back() -> None:
    status = written(said())
    assert read_status(status.wire()) == status
    assert written_condition(status, "Ready") is not None
    assert written_condition(status, "Other") is None
    assert read_status({"conditions": 7}) == OcrServiceStatus()


def numbers(budget: float, period: int = 2, readiness: int = 2) -> ProbeNumbers:
    return ProbeNumbers(
        budget_seconds=budget,
        startup=AppliedProbe(period_seconds=period, timeout_seconds=period),
        readiness=AppliedProbe(period_seconds=readiness),
        liveness=AppliedProbe(period_seconds=5),
    )


@pytest.mark.parametrize(
    ("recommended", "waits"),
    [
        (numbers(100), False),
        (numbers(120), False),
        (numbers(80), False),
        (numbers(121), True),
        (numbers(79), True),
        (numbers(100, period=3), True),
        (numbers(100, readiness=3), True),
    ],
)
def test_a_recommendation_is_pending_when_it_differs_by_more_than_a_fifth(
    recommended: ProbeNumbers, waits: bool
) -> None:
    assert pending(StartupStatus(applied=numbers(100), recommended=recommended)) is waits


def test_probes_without_a_startup_probe_are_compared_too() -> None:
    none = ProbeNumbers(budget_seconds=100)
    assert not pending(StartupStatus(applied=none, recommended=none))
    assert pending(
        StartupStatus(
            applied=none, recommended=ProbeNumbers(budget_seconds=100, startup=AppliedProbe())
        )
    )


def test_nothing_is_pending_before_anything_is_known() -> None:
    assert not pending(StartupStatus())
    assert not moved(100, 120)
    assert moved(100, 121)


def test_every_reason_is_one_word() -> None:
    values = [v for k, v in vars(reasons).items() if k.isupper() and isinstance(v, str)]
    assert all(value.isalpha() and value[0].isupper() for value in values)
    assert len(values) == len(set(values))


def test_the_status_has_only_fields_of_the_schema() -> None:
    world = cluster("scripted")
    world.reconcile()
    world.start_pods()
    assert OcrServiceStatus.model_validate(world.service.status).wire() == world.service.status
