"""The estimator: the quantile against scipy, the promised properties, a few numbers by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from ocr_operator.startup.estimate import BudgetRule, Estimate, estimate
from ocr_operator.startup.profile import Prior
from ocr_operator.startup.tquantile import t_quantile

PRIOR = Prior(median_seconds=38.0, spread=0.3, source="a test")
RULE = BudgetRule()
OPEN = BudgetRule(min_budget_seconds=0, max_budget_seconds=10**30)
"""Without clamps: what the properties are about."""

TIMES = st.lists(st.floats(0.5, 3000.0), min_size=1, max_size=30)
PRIORS = st.builds(Prior, st.floats(0.5, 600.0), st.floats(0.05, 0.8), st.just("a test"))


def budget(times: list[float], prior: Prior = PRIOR, rule: BudgetRule = OPEN) -> float:
    return estimate(times, prior, rule).budget


@pytest.mark.parametrize("degrees", [*range(1, 40), 103, 203, 204])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.99, 0.999, 0.9999, 0.999999])
def test_the_quantile_is_scipys(probability: float, degrees: int) -> None:
    wanted = float(stats.t.ppf(probability, degrees))
    assert t_quantile(probability, degrees) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("probability", "degrees"), [(0.4, 3), (1.0, 3), (0.9, 0)])
def test_no_quantile_of_what_is_no_probability(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match="no t-quantile"):
        t_quantile(probability, degrees)


@given(TIMES, PRIORS, st.data())
def test_the_order_of_the_starts_is_irrelevant(
    times: list[float], prior: Prior, data: st.DataObject
) -> None:
    assert budget(data.draw(st.permutations(times)), prior) == budget(times, prior)


@given(TIMES, PRIORS, st.floats(1.0, 4.0))
def test_a_slower_slowest_start_never_lowers_the_budget(
    times: list[float], prior: Prior, factor: float
) -> None:
    *others, slowest = sorted(times)
    before, after = budget(times, prior), budget([*others, slowest * factor], prior)
    assert after >= before * (1 - 1e-9)


@given(TIMES, PRIORS)
def test_the_budget_is_above_every_start_of_the_window(times: list[float], prior: Prior) -> None:
    assert budget(times, prior) >= 1.25 * max(times) * (1 - 1e-12)


@given(TIMES, PRIORS, st.floats(0.001, 1000.0))
def test_another_unit_of_time_gives_the_same_budget_in_that_unit(
    times: list[float], prior: Prior, unit: float
) -> None:
    scaled = Prior(prior.median_seconds * unit, prior.spread, prior.source)
    wanted = budget(times, prior) * unit
    assume(budget(times, prior) < math.exp(40))
    assert budget([time * unit for time in times], scaled) == pytest.approx(wanted, rel=1e-9)


@given(TIMES, PRIORS, st.integers(1, 600), st.integers(1, 3000))
def test_the_clamps_hold(times: list[float], prior: Prior, low: int, more: int) -> None:
    rule = BudgetRule(min_budget_seconds=low, max_budget_seconds=low + more)
    assert low <= budget(times, prior, rule) <= low + more


@given(TIMES, PRIORS)
def test_a_smaller_share_of_false_kills_never_lowers_the_budget(
    times: list[float], prior: Prior
) -> None:
    careful = BudgetRule(1e-5, OPEN.min_budget_seconds, OPEN.max_budget_seconds)
    assert budget(times, prior, careful) >= budget(times, prior)


def test_ignorance_is_generous_and_ends_with_the_first_starts() -> None:
    factors = [budget([38.0] * count) / 38.0 for count in (1, 3, 10)]
    assert 10 < factors[0] < 16
    assert 3.99 < factors[1] < 6
    assert factors[2] == pytest.approx(4, rel=0.01)


def test_one_start_outweighs_the_prior_four_to_one() -> None:
    center = estimate([19.0], PRIOR, RULE).center
    assert center == pytest.approx(38.0 ** (1 / 5) * 19.0 ** (4 / 5))


def test_one_slow_start_among_many_raises_the_bound() -> None:
    steady = estimate([38.0] * 16 + [44.0], PRIOR, RULE)
    slow = estimate([38.0] * 16 + [160.0], PRIOR, RULE)
    assert steady.bound < 4 * steady.center
    assert slow.bound == pytest.approx(200.0)


def test_without_a_start_the_prior_speaks_alone() -> None:
    found = estimate([], PRIOR, RULE)
    assert (found.samples, found.median, found.slowest) == (0, None, None)
    assert found.center == pytest.approx(38.0)
    # e to the power of 3.09 (normal, 99.9 %) times 0.3 times the root of 1 + 1/0.25.
    assert found.budget == pytest.approx(38.0 * math.exp(3.0902 * 0.3 * math.sqrt(5)), rel=1e-3)


def test_the_slowest_start_of_another_cluster_counts() -> None:
    measured = Prior(38.0, 0.05, "staging", count=40, max_seconds=700.0)
    assert estimate([38.0] * 30, measured, RULE).budget == pytest.approx(875.0)


def test_a_prior_of_steady_starts_keeps_a_least_spread() -> None:
    exact = Prior(38.0, 0.000001, "rounded")
    assert budget([], exact) > 38.0 * 2


def test_a_probability_beyond_what_floats_can_hold_still_gives_a_budget() -> None:
    found: Estimate = estimate([38.0], PRIOR, BudgetRule(1e-9, 60, 3600))
    assert found.budget == 3600
