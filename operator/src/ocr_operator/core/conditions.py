"""The six conditions: each a list of small checks, the first that has an answer gives it."""

from __future__ import annotations

import re
from collections.abc import Callable

from ocr_operator.api.v1alpha1 import StartupStatus
from ocr_operator.core import reasons
from ocr_operator.core.checks import first_problem, plain_text, problems
from ocr_operator.core.learn import is_static
from ocr_operator.core.situation import Situation
from ocr_operator.core.verdict import Verdict
from ocr_operator.startup.sample import DocumentState

MOVE_SHARE = 0.2
"""A recommendation within so much of what is applied is the same."""

Check = Callable[[Situation], Verdict | None]


def verdicts(situation: Situation, startup: StartupStatus) -> dict[str, Verdict]:
    """All conditions. `startup` is what the status will say about the probes."""
    return {
        reasons.READY: _first(READY_CHECKS, situation),
        reasons.PROGRESSING: _first(PROGRESSING_CHECKS, situation),
        reasons.MODEL_LOADED: _first(MODEL_LOADED_CHECKS, situation),
        reasons.PROBES_TUNED: _probes_tuned(situation, startup),
        reasons.CAPACITY_AVAILABLE: _capacity(situation),
        reasons.DEGRADED: _first(DEGRADED_CHECKS, situation),
    }


def _first(checks: tuple[Check, ...], situation: Situation) -> Verdict:
    found = (check(situation) for check in checks)
    return next(verdict for verdict in found if verdict is not None)


def _conflict(situation: Situation) -> Verdict | None:
    conflicts = situation.holdings.conflicts.values()
    return Verdict(False, reasons.NAME_CONFLICT, f"{'; '.join(conflicts)}.") if conflicts else None


def _creation_refused(situation: Situation) -> Verdict | None:
    if not situation.observed.refusals.keys() & set(situation.holdings.missing):
        return None
    problem = first_problem(situation)
    return Verdict(False, problem.reason, problem.message) if problem else None


def _suspended(situation: Situation) -> Verdict | None:
    if situation.service.replicas:
        return None
    why = "spec.suspend is true" if situation.service.suspended else "spec.replicas is 0"
    return Verdict(False, reasons.SUSPENDED, f"No pod is wanted: {why}.")


def _serving(situation: Situation) -> Verdict | None:
    if not situation.serves:
        return None
    return Verdict(True, reasons.SERVING, f"Requests to {situation.service.url} are answered.")


def _troubled(situation: Situation) -> Verdict | None:
    problem = first_problem(situation)
    return Verdict(False, problem.reason, problem.message) if problem else None


def _not_ready(situation: Situation) -> Verdict | None:
    """It has served, or it could but for something that is not its start."""
    known = situation.wrote(reasons.READY)
    if known is not None and known.reason == reasons.NOT_READY and situation.unheard:
        return Verdict(False, known.reason, known.message)
    served = known is not None and known.reason in (reasons.SERVING, reasons.NOT_READY)
    if _loaded(situation):
        return Verdict(
            False,
            reasons.NOT_READY,
            "The model is loaded, but no pod is ready: GET /readyz of a pod says what is missing.",
        )
    return Verdict(False, reasons.NOT_READY, "No pod is ready any more.") if served else None


def _starting(_: Situation) -> Verdict | None:
    return Verdict(False, reasons.STARTING, "The first pod has yet to become ready.")


READY_CHECKS: tuple[Check, ...] = (
    _conflict,
    _creation_refused,
    _suspended,
    _serving,
    _troubled,
    _not_ready,
    _starting,
)


def _held_up(situation: Situation) -> Verdict | None:
    if not situation.holdings.conflicts:
        return None
    return Verdict(False, reasons.BLOCKED, "Nothing is rolled out before the name is free.")


def _stuck(situation: Situation) -> Verdict | None:
    if not situation.rollout.stuck:
        return None
    return Verdict(
        False, reasons.PROGRESS_DEADLINE_EXCEEDED, "The rollout does not come to an end."
    )


def _rolling(situation: Situation) -> Verdict | None:
    if not situation.rolling:
        return None
    return Verdict(True, reasons.ROLLOUT_IN_PROGRESS, "Pods are being replaced or added.")


def _spec_waits(situation: Situation) -> Verdict | None:
    problem = situation.render.problem
    if problem is None:
        return None
    return Verdict(
        False, problem.reason, f"What was rendered last stays applied. {problem.message}"
    )


def _update_available(situation: Situation) -> Verdict | None:
    if not situation.render.update:
        return None
    return Verdict(
        False,
        reasons.UPDATE_AVAILABLE,
        f"The operator would render {situation.render.update} differently today; it joins the next "
        f"rollout, `kubectl rollout restart deployment/{situation.service.key.name}` for example.",
    )


def _rolled_out(_: Situation) -> Verdict | None:
    return Verdict(False, reasons.ROLLOUT_COMPLETE, "Every pod is of the newest template.")


PROGRESSING_CHECKS: tuple[Check, ...] = (
    _held_up,
    _suspended,
    _stuck,
    _rolling,
    _spec_waits,
    _update_available,
    _rolled_out,
)


def _a_pod_has_loaded(situation: Situation) -> Verdict | None:
    known = situation.wrote(reasons.MODEL_LOADED)
    still = known is not None and known.reason == reasons.LOADED and situation.unheard
    if not (situation.serves or _loaded(situation) or still):
        return None
    return Verdict(True, reasons.LOADED, f"{situation.service.subject} is loaded.")


def _load_failed(situation: Situation) -> Verdict | None:
    failed = [p for p in problems(situation) if p.reason == reasons.LOAD_FAILED]
    return Verdict(False, failed[0].reason, failed[0].message) if failed else None


def _loading(situation: Situation) -> Verdict | None:
    return Verdict(False, reasons.LOADING, f"{situation.service.subject} is not loaded yet.")


MODEL_LOADED_CHECKS: tuple[Check, ...] = (_suspended, _a_pod_has_loaded, _load_failed, _loading)


def _probes_tuned(situation: Situation, startup: StartupStatus) -> Verdict:
    if is_static(situation.service):
        return Verdict(True, reasons.STATIC, "probes.mode is Static: no measurement is used.")
    if not startup.samples:
        return Verdict(
            False, reasons.LEARNING, "No start is measured yet: the probes are generous meanwhile."
        )
    if not pending(startup):
        return Verdict(True, reasons.APPLIED, "The probes are what the measured starts recommend.")
    applied, recommended = startup.applied, startup.recommended
    return Verdict(
        False,
        reasons.RECOMMENDATION_PENDING,
        f"A startup budget of {_budget(applied)} s is applied and {_budget(recommended)} s is "
        "recommended; it joins the next rollout, `kubectl rollout restart "
        f"deployment/{situation.service.key.name}` for example.",
    )


def pending(startup: StartupStatus) -> bool:
    """Whether the next rollout would bring other probes: another period, or a budget that is more
    than a fifth away."""
    applied, recommended = startup.applied, startup.recommended
    if applied is None or recommended is None:
        return False
    if applied.readiness != recommended.readiness or applied.liveness != recommended.liveness:
        return True
    one, other = applied.startup, recommended.startup
    if one is None or other is None:
        return one is not other
    periods = (one.period_seconds, one.timeout_seconds)
    if periods != (other.period_seconds, other.timeout_seconds):
        return True
    return moved(_budget(applied), _budget(recommended))


def moved(before: float, after: float) -> bool:
    """By more than a fifth."""
    return abs(after - before) > MOVE_SHARE * before


def _budget(numbers: object) -> int:
    return int(getattr(numbers, "budget_seconds", 0) or 0)


def _capacity(situation: Situation) -> Verdict:
    lacking = (reasons.INSUFFICIENT_GPU, reasons.UNSCHEDULABLE)
    for problem in problems(situation):
        if problem.reason in lacking:
            return Verdict(False, problem.reason, problem.message)
    return Verdict(True, reasons.NOTHING_WAITS, "No pod waits for a node.")


def _warned(situation: Situation) -> Verdict | None:
    """What the server itself warns of, such as a Secret that is not there."""
    documents = [situation.document(pod) for pod in situation.pods]
    found = {warning for document in documents if document for warning in document.warnings}
    if found:
        code = min(found)[0]
        text = " ".join(f"{plain_text(text).rstrip('.')}." for _, text in sorted(found))
        return Verdict(True, _reason_of(code), text)
    known = situation.wrote(reasons.DEGRADED)
    warned = known is not None and known.status == "True" and known.reason not in reasons.PROBLEMS
    if known is not None and warned and any(situation.unread(pod) for pod in situation.pods):
        # Nobody has said yet that it is over: the operator has just started.
        return Verdict(True, known.reason, known.message)
    return None


def _spec_refused(situation: Situation) -> Verdict | None:
    problem = situation.render.problem
    return Verdict(True, problem.reason, problem.message) if problem else None


def _in_trouble(situation: Situation) -> Verdict | None:
    problem = first_problem(situation)
    return Verdict(True, problem.reason, problem.message) if problem else None


def _fine(_: Situation) -> Verdict | None:
    return Verdict(False, reasons.AS_EXPECTED, "Nothing is wrong.")


DEGRADED_CHECKS: tuple[Check, ...] = (_spec_refused, _in_trouble, _warned, _fine)


def _loaded(situation: Situation) -> bool:
    """Whether a pod says that its model is loaded."""
    documents = (situation.document(pod) for pod in situation.pods)
    return any(document and document.state is DocumentState.READY for document in documents)


def _reason_of(code: str) -> str:
    """`secret_missing` becomes `SecretMissing`."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9]*", code)
    return "".join(word[:1].upper() + word[1:] for word in words)[:128] or "Warning"
