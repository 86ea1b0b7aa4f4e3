"""From measured starts to the two numbers everything else is made of: the median m, the budget B.

Starts are multiplicative (a slower disk makes all of them slower by a factor), so everything is
done on natural logarithms of the seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass
from statistics import NormalDist

from ocr_operator.startup.profile import Prior
from ocr_operator.startup.tquantile import t_quantile

PLACE_WEIGHT = 0.25
"""κ₀, pseudo-samples the parent level counts for in the place: one start outweighs it 4 to 1."""
SPREAD_WEIGHT = 3
"""Pseudo-samples it counts for in the spread: about that many starts before their own spread is
believed more."""
SLOWEST_MARGIN = 1.25
"""A start a quarter slower than the slowest seen is no surprise."""
MEDIAN_FLOOR = 4.0
"""B is at least this many medians. Without it rare slow starts (5 % three times slower, Pareto
tails) are killed 10 to 30 times as often as asked for: no quantile of ten starts can see them."""
SMALLEST_SPREAD = 0.05
"""Of a parent level: the whole-second times of a Pod alone spread that much."""
LARGEST_LOGARITHM = 50.0
"""ln seconds beyond which a quantile is only said to be huge; the clamp of B is far below."""


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """`spec.probes`: how often a healthy start may be killed, and between what B is kept."""

    false_kill_probability: float = 0.001
    min_budget_seconds: int = 60
    max_budget_seconds: int = 3600


@dataclass(frozen=True, slots=True)
class Estimate:
    """All in seconds. `median` and `slowest` of the samples are None without any."""

    samples: int
    center: float
    """m, the median of the next start: the samples with a little of the parent level."""
    quantile: float
    """What the next start exceeds with the allowed probability."""
    bound: float
    """W: the quantile, but a margin above the slowest start seen."""
    budget: float
    """B."""
    median: float | None
    slowest: float | None
    rule: BudgetRule
    prior: Prior
    """The parent level it rests on."""


def estimate(seconds: Collection[float], prior: Prior, rule: BudgetRule) -> Estimate:
    """Estimate from the starts of one key, in any order, and the parent level's median and spread.

    Between the clamps B never falls when the slowest start gets slower, and scales with the unit.
    """
    times = sorted(seconds)
    center, quantile = _predict([math.log(time) for time in times], prior, rule)
    slowest = max([*times[-1:], *([prior.max_seconds] if prior.max_seconds else [])], default=None)
    bound = max(quantile, SLOWEST_MARGIN * (slowest or 0.0))
    wanted = max(bound, MEDIAN_FLOOR * center)
    return Estimate(
        samples=len(times),
        center=center,
        quantile=quantile,
        bound=bound,
        budget=min(max(wanted, rule.min_budget_seconds), rule.max_budget_seconds),
        median=statistics.median(times) if times else None,
        slowest=times[-1] if times else None,
        rule=rule,
        prior=prior,
    )


def _predict(logs: list[float], prior: Prior, rule: BudgetRule) -> tuple[float, float]:
    """Median and upper quantile of the next start: the Student-t predictive distribution of a
    normal model whose place and spread have a normal-inverse-gamma prior.

    Without a start the parent's spread is taken as known, so its quantile is the normal one: with
    Student's three degrees of freedom a start of 2.5 s would get 39 minutes."""
    count, place = len(logs), math.log(prior.median_seconds)
    mean = math.fsum(logs) / count if count else place
    weight = PLACE_WEIGHT + count
    degrees = SPREAD_WEIGHT + count
    posterior = (PLACE_WEIGHT * place + count * mean) / weight
    # Starts faster than the parent level say nothing about slow ones: only slower ones widen the
    # spread by their disagreement. Two-sided, a faster start would raise the budget.
    disagreement = max(mean - place, 0.0)
    squares = math.fsum(
        [
            SPREAD_WEIGHT * max(prior.spread, SMALLEST_SPREAD) ** 2,
            *((log - mean) ** 2 for log in logs),
            PLACE_WEIGHT * count / weight * disagreement**2,
        ]
    )
    scale = math.sqrt(squares / degrees * (1 + 1 / weight))
    allowed = 1 - rule.false_kill_probability
    tail = t_quantile(allowed, degrees) if count else NormalDist().inv_cdf(allowed)
    upper = posterior + tail * scale
    return math.exp(posterior), math.exp(min(upper, LARGEST_LOGARITHM))
