"""Every number of the probes, and of what else waits for a start: one small function each.

m is the median of a start and B its budget (`estimate`), both in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ocr_operator.api.v1alpha1 import LivenessProbe, ProbesSpec, ReadinessProbe, StartupProbe
from ocr_operator.startup.estimate import BudgetRule

STARTUP_PATH, READINESS_PATH, LIVENESS_PATH = "/startupz", "/readyz", "/livez"

HOLD_SHARE = 1 / 20
"""Of a start that a ready pod may be kept out of traffic by the period of its probe."""
LONGEST_STARTUP_PERIOD_SECONDS = 10
LONGEST_READINESS_PERIOD_SECONDS = 5
LONGEST_STARTUP_TIMEOUT_SECONDS = 5
STARTUP_GRACE_SECONDS = 5
READINESS_THRESHOLD = 3
LIVENESS_PERIOD_SECONDS = 5
LIVENESS_THRESHOLD = 3
LIVENESS_GRACE_SECONDS = 10
SHORTEST_HEARTBEAT_SECONDS, LONGEST_HEARTBEAT_SECONDS = 15, 600

LAME_DUCK_SECONDS = 10
"""OCR_LAME_DUCK_S: service after SIGTERM while endpoints catch up."""
DRAIN_SECONDS = 120
"""D, OCR_DRAIN_TIMEOUT_S: what requests in flight may take after that."""
STOP_MARGIN_SECONDS = 10
"""For the server to end once it has drained, before SIGKILL."""

UNKNOWN_PULL_SECONDS = 600
"""Of the progress deadline, for scheduling and pulling 18 GB, until it is measured."""
DEADLINE_MARGIN = 1.5
"""Budgets a start may take before the rollout counts as stuck: one kill and a bit."""
SHORTEST_SCALE_DOWN_SECONDS, LONGEST_SCALE_WINDOW_SECONDS = 300, 3600
SCALE_DOWN_STARTS = 4
"""Starts that a pod must stay unneeded for: removing it too early costs one."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One HTTP probe, seconds."""

    path: str
    period: int
    timeout: int
    failure_threshold: int
    initial_delay: int = 0
    success_threshold: int = 1
    grace: int | None = None
    """Time to stop after this probe killed; None: the pod's."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What a container gets, and the budget its startup probe gives."""

    startup: Probe
    readiness: Probe
    liveness: Probe
    heartbeat_deadline: int
    budget: int


def budget_rule(spec: ProbesSpec | None) -> BudgetRule:
    """`spec.probes` with its defaults; a probability that cannot be one counts as not set."""
    default = BudgetRule()
    if spec is None:
        return default
    try:
        probability = float(spec.false_kill_probability or "")
    except ValueError:
        probability = default.false_kill_probability
    if not 1e-9 <= probability < 0.5:
        probability = default.false_kill_probability
    return BudgetRule(
        false_kill_probability=probability,
        min_budget_seconds=spec.min_budget_seconds or default.min_budget_seconds,
        max_budget_seconds=spec.max_budget_seconds or default.max_budget_seconds,
    )


def generate(center: float, budget: float, by_hand: ProbesSpec | None) -> Probes:
    """All probes of the server's container; what is set by hand wins field by field, and what
    depends on it follows."""
    by_hand = by_hand or ProbesSpec()
    startup = _startup(center, budget, by_hand.startup or StartupProbe())
    forced = by_hand.startup is not None and by_hand.startup.failure_threshold is not None
    return Probes(
        startup=startup,
        readiness=_readiness(center, by_hand.readiness or ReadinessProbe()),
        liveness=_liveness(by_hand.liveness or LivenessProbe()),
        heartbeat_deadline=heartbeat_deadline(center),
        budget=given_budget(startup) if forced else math.ceil(budget),
    )


def startup_period(center: float) -> int:
    """p = clamp(round(m/20), 1, 10): a ready pod waits for its next probe ≤ 5 % of its start."""
    return _clamp(_round(center * HOLD_SHARE), 1, LONGEST_STARTUP_PERIOD_SECONDS)


def startup_timeout(period: int) -> int:
    """min(p, 5): probes run one after another, so a longer one stretches the budget in secret."""
    return min(period, LONGEST_STARTUP_TIMEOUT_SECONDS)


def startup_threshold(budget: float, period: int) -> int:
    """⌈B/p⌉ + 1: the first probe falls anywhere within the first period."""
    return math.ceil(budget / period) + 1


def given_budget(startup: Probe) -> int:
    """Seconds a start is sure to have with this probe: the reverse of `startup_threshold`."""
    return startup.initial_delay + startup.period * (startup.failure_threshold - 1)


def readiness_period(center: float) -> int:
    """clamp(round(m/20), 1, 5): out quickly and back quickly, at most five seconds late."""
    return _clamp(_round(center * HOLD_SHARE), 1, LONGEST_READINESS_PERIOD_SECONDS)


def heartbeat_deadline(center: float) -> int:
    """H = clamp(m, 15, 600): wait before a restart about as long as the restart costs, and it never
    costs more than twice the best (ski rental)."""
    return _clamp(_round(center), SHORTEST_HEARTBEAT_SECONDS, LONGEST_HEARTBEAT_SECONDS)


def pod_grace(lame_duck: float = LAME_DUCK_SECONDS, drain: float = DRAIN_SECONDS) -> int:
    """10 + D + 10: lame duck, drain, margin."""
    return math.ceil(lame_duck + drain) + STOP_MARGIN_SECONDS


def min_ready(replicas: int, readiness: Probe) -> int:
    """0 for one replica, else one readiness period: the next pod is not replaced on one lucky
    answer; with a single pod waiting would only prolong the gap."""
    return 0 if replicas <= 1 else readiness.period


def progress_deadline(budget: int, grace: int, *, surge: bool, min_ready_seconds: int) -> int:
    """Pull + the pod's grace where the new pod waits for the old one + 1.5·B, and more than
    minReadySeconds, which the API demands: a slow start is not a failed rollout."""
    waits = 0 if surge else grace
    deadline = UNKNOWN_PULL_SECONDS + waits + math.ceil(DEADLINE_MARGIN * budget)
    return max(deadline, min_ready_seconds + 1)


def scale_up_window(center: float) -> int:
    """m, ≤ 3600: no second scale-up for the same load while a pod starts."""
    return _clamp(_round(center), 0, LONGEST_SCALE_WINDOW_SECONDS)


def scale_down_window(center: float) -> int:
    """max(300, 4·m), ≤ 3600: a pod that goes too early costs a start when load comes back."""
    return _clamp(
        _round(SCALE_DOWN_STARTS * center),
        SHORTEST_SCALE_DOWN_SECONDS,
        LONGEST_SCALE_WINDOW_SECONDS,
    )


def _startup(center: float, budget: float, hand: StartupProbe) -> Probe:
    period = hand.period_seconds or startup_period(center)
    return Probe(
        path=STARTUP_PATH,
        period=period,
        timeout=hand.timeout_seconds or startup_timeout(period),
        failure_threshold=hand.failure_threshold or startup_threshold(budget, period),
        initial_delay=hand.initial_delay_seconds or 0,
        grace=hand.termination_grace_period_seconds or STARTUP_GRACE_SECONDS,
    )


def _readiness(center: float, hand: ReadinessProbe) -> Probe:
    period = hand.period_seconds or readiness_period(center)
    return Probe(
        path=READINESS_PATH,
        period=period,
        timeout=hand.timeout_seconds or period,
        failure_threshold=hand.failure_threshold or READINESS_THRESHOLD,
        initial_delay=hand.initial_delay_seconds or 0,
        success_threshold=hand.success_threshold or 1,
    )


def _liveness(hand: LivenessProbe) -> Probe:
    period = hand.period_seconds or LIVENESS_PERIOD_SECONDS
    return Probe(
        path=LIVENESS_PATH,
        period=period,
        timeout=hand.timeout_seconds or LIVENESS_PERIOD_SECONDS,
        failure_threshold=hand.failure_threshold or LIVENESS_THRESHOLD,
        initial_delay=hand.initial_delay_seconds or 0,
        grace=hand.termination_grace_period_seconds or LIVENESS_GRACE_SECONDS,
    )


def _round(value: float) -> int:
    """Half up: Python rounds to even, which makes m = 50 s a period of 2 and m = 70 s one of 4."""
    return math.floor(value + 0.5)


def _clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)
