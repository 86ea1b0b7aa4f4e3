"""`status.startup`: what was measured and what was made from it.

The starts of one key come from many services. A service's block is rewritten for its own starts,
for other probes, or when the numbers moved a lot: else a thousand services that start at a time
would write a million statuses.
"""

from __future__ import annotations

import statistics
from datetime import timedelta

from ocr_operator.api.v1alpha1 import AppliedProbe, ProbeNumbers, StartupStatus
from ocr_operator.core.conditions import moved, pending
from ocr_operator.core.learn import Learned, key_status
from ocr_operator.core.measure import own_starts
from ocr_operator.core.situation import Situation
from ocr_operator.core.template import image, read_probes
from ocr_operator.startup.explain import duration_text
from ocr_operator.startup.probes import Probe, Probes

QUIET_TIME = timedelta(minutes=10)
"""After the service's own last start other services' starts change nothing for so long."""


def startup_status(situation: Situation) -> StartupStatus:
    """As it would be written now. While the spec cannot be carried out nothing is recommended."""
    before = situation.written.startup or StartupStatus()
    if situation.render.problem and before.applied:
        return before
    learned, numbers = situation.render.learned, situation.render.numbers
    probes = read_probes(situation.render.template)
    own = own_starts(situation.observed, image(situation.render.template))
    median = (
        statistics.median(start.seconds for start in learned.starts) if learned.starts else None
    )
    block = StartupStatus(
        key=key_status(learned.key) if learned.key else None,
        level=learned.level,
        samples=learned.estimate.samples,
        last_seconds=own[-1].start.seconds if own else before.last_seconds,
        p50_seconds=median,
        phases=_phases(learned) or None,
        recommended=_recommended(learned.probes),
        applied=ProbeNumbers(
            budget_seconds=numbers.budget,
            startup=_probe(probes.startup),
            readiness=_probe(probes.readiness),
            liveness=_probe(probes.liveness),
        ),
        init=None if median is None else duration_text(median),
        budget=duration_text(numbers.budget),
        last_measured_time=own[-1].measured_at if own else before.last_measured_time,
    )
    return block.model_copy(update={"explanation": _explanation(situation, block)})


def held(situation: Situation, block: StartupStatus) -> StartupStatus:
    """The written block as long as nothing of this service asks for another."""
    before = situation.written.startup
    if before is None or before.applied != block.applied or before.key is None or block.key is None:
        return block
    if block.last_measured_time != before.last_measured_time:
        return block
    quiet = before.last_measured_time and situation.now < before.last_measured_time + QUIET_TIME
    return block if not quiet and _moved(before, block) else before


def _moved(before: StartupStatus, block: StartupStatus) -> bool:
    one, other = before.recommended, block.recommended
    budgets = (one.budget_seconds if one else None, other.budget_seconds if other else None)
    medians = (before.p50_seconds, block.p50_seconds)
    return any(_moved_number(old, new) for old, new in (budgets, medians))


def _moved_number(before: float | None, after: float | None) -> bool:
    if before is None or after is None:
        return before is not after
    return moved(before, after)


def _explanation(situation: Situation, block: StartupStatus) -> str:
    applied, next_one = situation.render.numbers.explanation, situation.render.learned.explanation
    if applied == next_one:
        return applied
    if pending(block):
        return f"applied: {applied}. With the next rollout: {next_one}"
    return f"applied: {applied}. Measured since: {next_one}"


def _phases(learned: Learned) -> dict[str, float]:
    """Medians; phases of a start in the order the newest one had them."""
    starts = [start for start in learned.starts if start.phases]
    names = starts[-1].phases if starts else {}
    return {
        name: statistics.median(start.phases[name] for start in starts if name in start.phases)
        for name in names
    }


def _recommended(probes: Probes) -> ProbeNumbers:
    return ProbeNumbers(
        budget_seconds=probes.budget,
        startup=_probe(probes.startup),
        readiness=_probe(probes.readiness),
        liveness=_probe(probes.liveness),
    )


def _probe(probe: Probe) -> AppliedProbe:
    return AppliedProbe(
        period_seconds=probe.period,
        timeout_seconds=probe.timeout,
        failure_threshold=probe.failure_threshold,
    )
