"""Every generated number by its rule, and the sentence that explains them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_operator.api.v1alpha1 import ProbesSpec
from ocr_operator.startup import probes
from ocr_operator.startup.estimate import BudgetRule, estimate
from ocr_operator.startup.explain import duration_text, explain, seconds_text
from ocr_operator.startup.probes import Probe, budget_rule, generate
from ocr_operator.startup.profile import Prior

PRIOR = Prior(38.0, 0.3, "a test")


def by_hand(**fields: Any) -> ProbesSpec:
    return ProbesSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("center", "period"),
    [(0.2, 1), (12, 1), (29.9, 1), (30, 2), (38, 2), (50, 3), (70, 4), (199, 10), (5000, 10)],
)
def test_startup_period_is_a_twentieth_of_the_start(center: float, period: int) -> None:
    assert probes.startup_period(center) == period


@pytest.mark.parametrize(("center", "period"), [(2, 1), (38, 2), (99, 5), (1000, 5)])
def test_readiness_period_is_a_twentieth_and_at_most_five(center: float, period: int) -> None:
    assert probes.readiness_period(center) == period


@pytest.mark.parametrize(("period", "timeout"), [(1, 1), (4, 4), (5, 5), (10, 5)])
def test_startup_timeout_never_exceeds_the_period(period: int, timeout: int) -> None:
    assert probes.startup_timeout(period) == timeout


@pytest.mark.parametrize(
    ("budget", "period", "threshold"), [(153, 2, 78), (152, 2, 77), (60, 1, 61), (15, 1, 16)]
)
def test_startup_threshold_is_the_budget_in_periods_and_one(
    budget: float, period: int, threshold: int
) -> None:
    assert probes.startup_threshold(budget, period) == threshold


@pytest.mark.parametrize(("center", "deadline"), [(2, 15), (38, 38), (5000, 600)])
def test_heartbeat_deadline_is_one_start(center: float, deadline: int) -> None:
    assert probes.heartbeat_deadline(center) == deadline


@pytest.mark.parametrize(
    ("replicas", "seconds"), [(0, 0), (1, 0), (2, 3), (5, 3)], ids=lambda value: str(value)
)
def test_min_ready_is_one_readiness_period_for_more_than_one(replicas: int, seconds: int) -> None:
    assert probes.min_ready(replicas, Probe("/readyz", 3, 3, 3)) == seconds


def test_progress_deadline_is_pull_grace_and_one_and_a_half_budgets() -> None:
    with_surge = probes.progress_deadline(153, 140, surge=True, min_ready_seconds=0)
    without = probes.progress_deadline(153, 140, surge=False, min_ready_seconds=0)
    assert (with_surge, without) == (600 + 230, 600 + 140 + 230)


def test_progress_deadline_is_more_than_min_ready() -> None:
    assert probes.progress_deadline(1, 0, surge=True, min_ready_seconds=5000) == 5001


def test_pod_grace_is_lame_duck_drain_and_margin() -> None:
    assert probes.pod_grace() == 140
    assert probes.pod_grace(5, 30.5) == 46


@pytest.mark.parametrize(
    ("center", "up", "down"), [(38, 38, 300), (100, 100, 400), (5e3, 3600, 3600)]
)
def test_scale_windows_follow_the_start(center: float, up: int, down: int) -> None:
    assert (probes.scale_up_window(center), probes.scale_down_window(center)) == (up, down)


def test_the_probes_of_a_38_second_start() -> None:
    made = generate(38.1, 152.4, None)
    assert made.startup == Probe("/startupz", 2, 2, 78, grace=5)
    assert made.readiness == Probe("/readyz", 2, 2, 3)
    assert made.liveness == Probe("/livez", 5, 5, 3, grace=10)
    assert (made.heartbeat_deadline, made.budget) == (38, 153)


def test_what_is_set_by_hand_wins_field_by_field_and_the_rest_follows() -> None:
    made = generate(
        38.1, 152.4, by_hand(startup={"periodSeconds": 5}, readiness={"timeoutSeconds": 1})
    )
    assert made.startup == Probe("/startupz", 5, 5, 32, grace=5)
    assert made.readiness == Probe("/readyz", 2, 1, 3)
    assert made.budget == 153


def test_every_field_can_be_set_by_hand() -> None:
    hand = {
        "initialDelaySeconds": 1,
        "periodSeconds": 3,
        "timeoutSeconds": 2,
        "failureThreshold": 7,
        "terminationGracePeriodSeconds": 9,
    }
    made = generate(38.1, 152.4, by_hand(startup=hand, liveness=hand))
    assert made.startup == Probe("/startupz", 3, 2, 7, 1, 1, 9)
    assert made.liveness == Probe("/livez", 3, 2, 7, 1, 1, 9)
    ready = {key: hand[key] for key in ("initialDelaySeconds", "periodSeconds", "failureThreshold")}
    made = generate(38.1, 152.4, by_hand(readiness={**ready, "successThreshold": 2}))
    assert made.readiness == Probe("/readyz", 3, 3, 7, 1, 2)


def test_a_threshold_by_hand_is_the_budget_that_is_shown() -> None:
    assert generate(38.1, 152.4, by_hand(startup={"failureThreshold": 31})).budget == 60


@given(st.floats(0.1, 3600), st.floats(1, 3600))
def test_a_start_within_its_budget_is_never_killed(center: float, budget: float) -> None:
    startup = generate(center, budget, None).startup
    # The first probe falls anywhere within the first period; the last failure kills.
    earliest_kill = startup.period * (startup.failure_threshold - 1)
    assert earliest_kill >= budget
    assert startup.timeout <= startup.period


def test_the_rule_has_its_defaults() -> None:
    assert budget_rule(None) == BudgetRule(0.001, 60, 3600)
    assert budget_rule(by_hand()) == BudgetRule(0.001, 60, 3600)


def test_the_rule_is_read_from_the_spec() -> None:
    given_rule = by_hand(falseKillProbability="0.01", minBudgetSeconds=5, maxBudgetSeconds=15)
    assert budget_rule(given_rule) == BudgetRule(0.01, 5, 15)


@pytest.mark.parametrize("text", ["", "often", "0", "0.7", "nan", "1e-30"])
def test_a_probability_that_is_none_counts_as_not_set(text: str) -> None:
    assert budget_rule(by_hand(falseKillProbability=text)).false_kill_probability == 0.001


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1s"), (2.09, "2s"), (38, "38s"), (59.6, "1m"), (153, "2m33s"), (3600, "60m")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.09, "2.1 s"), (38.4, "38 s"), (3600, "3600 s"), (1e9, "over a day")]
)
def test_seconds_are_as_exact_as_it_matters(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


def test_the_sentence_derives_the_budget_from_the_starts() -> None:
    starts = [38.1] * 16 + [44.0]
    found = estimate(starts, Prior(38.1, 0.3, "a test"), BudgetRule())
    made = generate(found.center, found.budget, None)
    assert explain(found, made, "paddleocr-vl 1.6 on NVIDIA L4") == (
        "startup budget 154 s: 17 starts of paddleocr-vl 1.6 on NVIDIA L4 took 38 s (median) and "
        "at most 44 s; predictive 99.9 % bound 60 s, floor 4 × median 154 s; probe every 2 s × 78"  # noqa: RUF001
    )


def test_the_sentence_names_the_prior_while_nothing_is_measured() -> None:
    found = estimate([], PRIOR, BudgetRule())
    text = explain(found, generate(found.center, found.budget, None), "pp-ocr 6")
    assert "no start of pp-ocr 6 is measured yet, 38 s (median) are expected (a test)" in text
    assert "predictive 99.9 % bound 302 s" in text


def test_the_sentence_says_that_the_budget_was_cut() -> None:
    found = estimate([], Prior(38.0, 2.0, "a test"), BudgetRule())
    text = explain(found, generate(found.center, found.budget, None), "pp-ocr 6")
    assert "cut to maxBudgetSeconds 3600 s" in text


def test_the_sentence_says_what_else_decided() -> None:
    slow = estimate([3.0] * 20 + [30.0], PRIOR, BudgetRule())
    text = explain(slow, generate(slow.center, slow.budget, None), "pp-ocr 6")
    assert "raised to minBudgetSeconds 60 s" in text
    hand = by_hand(startup={"failureThreshold": 400})
    text = explain(slow, generate(slow.center, slow.budget, hand), "pp-ocr 6")
    assert text.endswith("× 400 (failureThreshold is set by hand)")  # noqa: RUF001
