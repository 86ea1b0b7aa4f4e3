"""The sentence that answers "why 153 s?", and durations as people write them."""

from __future__ import annotations

from ocr_operator.startup.estimate import MEDIAN_FLOOR, SLOWEST_MARGIN, Estimate
from ocr_operator.startup.probes import Probes

TIMES = "\N{MULTIPLICATION SIGN}"


def duration_text(seconds: float) -> str:
    """`38s`, `2m33s`, `60m`: whole seconds, at least one, minutes without hours."""
    whole = max(int(seconds + 0.5), 1)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest}s"
    return f"{minutes}m{rest}s" if rest else f"{minutes}m"


def explain(estimate: Estimate, probes: Probes, subject: str) -> str:
    """One sentence; `subject` is the model and where it runs: `pp-ocr 6 on cpu`."""
    return (
        f"startup budget {probes.budget} s: {_evidence(estimate, subject)}; "
        f"{_reckoning(estimate)}; probe every {probes.startup.period} s "
        f"{TIMES} {probes.startup.failure_threshold}{_by_hand(estimate, probes)}"
    )


def _evidence(estimate: Estimate, subject: str) -> str:
    if estimate.median is None or estimate.slowest is None:
        expected = seconds_text(estimate.prior.median_seconds)
        return (
            f"no start of {subject} is measured yet, {expected} (median) are expected "
            f"({estimate.prior.source})"
        )
    starts = "1 start" if estimate.samples == 1 else f"{estimate.samples} starts"
    return (
        f"{starts} of {subject} took {seconds_text(estimate.median)} (median) "
        f"and at most {seconds_text(estimate.slowest)}"
    )


def _reckoning(estimate: Estimate) -> str:
    rule = estimate.rule
    percent = f"{100 * (1 - rule.false_kill_probability):.6f}".rstrip("0").rstrip(".")
    parts = [f"predictive {percent} % bound {seconds_text(estimate.quantile)}"]
    if estimate.bound > estimate.quantile:
        parts.append(f"{SLOWEST_MARGIN:g} {TIMES} slowest {seconds_text(estimate.bound)}")
    floor = MEDIAN_FLOOR * estimate.center
    parts.append(f"floor {MEDIAN_FLOOR:g} {TIMES} median {seconds_text(floor)}")
    wanted = max(estimate.bound, floor)
    if wanted < rule.min_budget_seconds:
        parts.append(f"raised to minBudgetSeconds {rule.min_budget_seconds} s")
    if wanted > rule.max_budget_seconds:
        parts.append(f"cut to maxBudgetSeconds {rule.max_budget_seconds} s")
    return ", ".join(parts)


def _by_hand(estimate: Estimate, probes: Probes) -> str:
    own = -(-estimate.budget // 1)
    return "" if probes.budget == own else " (failureThreshold is set by hand)"


def seconds_text(seconds: float) -> str:
    """`2.5 s`, `38 s`, `over a day`: as exact as it matters to a person."""
    if seconds > 86400:
        return "over a day"
    return f"{seconds:.1f} s" if seconds < 10 else f"{int(seconds + 0.5)} s"
