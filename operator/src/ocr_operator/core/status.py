"""The whole status, and whether it is worth writing."""

from __future__ import annotations

from datetime import datetime

from ocr_operator.api.v1alpha1 import OcrServiceStatus, StartupStatus
from ocr_operator.core import reasons
from ocr_operator.core.builders.labels import selector_text
from ocr_operator.core.conditions import verdicts
from ocr_operator.core.observed import ServiceView
from ocr_operator.core.resolve import Problem
from ocr_operator.core.rollout import Rollout
from ocr_operator.core.situation import Situation
from ocr_operator.core.startup_status import held, startup_status
from ocr_operator.core.verdict import Verdict, dated
from ocr_operator.core.written import read_status


def build_status(situation: Situation) -> OcrServiceStatus:
    """The status; the written one, equal in everything, when nothing has changed."""
    fresh = startup_status(situation)
    kept = _with(situation, held(situation, fresh))
    if same(kept, situation.written):
        return situation.written
    # It is written anyway: then with the newest numbers.
    return _with(situation, fresh)


def refusal_status(
    service: ServiceView, problem: Problem, rollout: Rollout, now: datetime
) -> OcrServiceStatus:
    """For a spec that cannot be carried out while nothing of ours is there."""
    written = read_status(service.status)
    nothing = Verdict(False, reasons.BLOCKED, "Nothing is done before the spec can be carried out.")
    said = dict.fromkeys(reasons.CONDITIONS, nothing)
    said[reasons.READY] = Verdict(False, problem.reason, problem.message)
    said[reasons.DEGRADED] = Verdict(True, problem.reason, problem.message)
    return written.model_copy(
        update={
            "observed_generation": service.generation,
            "conditions": dated(said, written, service.generation, now),
            "replicas": rollout.replicas,
            "ready_replicas": rollout.ready,
            "replicas_text": f"{rollout.ready}/{rollout.replicas}",
            "selector": selector_text(service.key.name),
        }
    )


def same(one: OcrServiceStatus, other: OcrServiceStatus) -> bool:
    """As the API would show them."""
    return one.wire() == other.wire()


def _with(situation: Situation, startup: StartupStatus) -> OcrServiceStatus:
    service, rollout, view = situation.service, situation.rollout, situation.observed.service
    wanted = service.replicas
    # While pods come and go the Deployment's count takes every value in between.
    there = wanted if situation.rolling else rollout.replicas
    said = verdicts(situation, startup)
    return OcrServiceStatus(
        observed_generation=view.generation,
        conditions=dated(said, situation.written, view.generation, situation.now),
        url=service.url,
        replicas=there,
        ready_replicas=min(rollout.ready, wanted),
        replicas_text=f"{min(rollout.ready, wanted)}/{wanted}",
        selector=selector_text(service.key.name),
        model=f"{service.model.name}-{service.version}",
        startup=startup,
    )
