"""The decision: `plan(observed, policy, now)` is pure; the runtime carries it out.

The runtime repeats plan while it asks for `lookups` or hands out `starts` (at most a few rounds),
then carries out `apply`, `status`, `events`, in this order, and comes back at `requeue_at`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ocr_operator.api.v1alpha1 import OcrServiceStatus
from ocr_operator.core import reasons, template
from ocr_operator.core.actions import (
    API_VERSION,
    FIELD_MANAGER,
    PREFIX,
    Apply,
    Event,
    EventType,
    Plan,
    Policy,
    Scrape,
)
from ocr_operator.core.builders.deployment import deployment
from ocr_operator.core.builders.labels import APPLIED_HASH
from ocr_operator.core.builders.service import service as service_manifest
from ocr_operator.core.checks import check_again_at
from ocr_operator.core.contains import difference
from ocr_operator.core.events import change_events, status_events
from ocr_operator.core.last_render import last_render
from ocr_operator.core.measure import new_starts, scrapes
from ocr_operator.core.observed import ChildKind, LiveChild, Observed
from ocr_operator.core.ownership import Holdings, survey
from ocr_operator.core.render import Render, render
from ocr_operator.core.resolve import Problem, Resolved, resolve
from ocr_operator.core.rollout import read_rollout
from ocr_operator.core.settle import settled_at
from ocr_operator.core.situation import Situation
from ocr_operator.core.status import build_status, refusal_status, same
from ocr_operator.core.written import read_status, written_condition

FIRST_CONFLICT_SECONDS, LONGEST_CONFLICT_SECONDS = 5.0, 300.0
"""Between two looks at an object that is in the way: as long again as it has been there."""
NAMESPACE_ENDS = "because it is being terminated"
"""What the API server says of a creation in a namespace that is being deleted."""
LEAVING_SECONDS = 5.0
"""Until the next look at a child that is being deleted, should its last event be lost."""


def plan(observed: Observed, policy: Policy, now: datetime) -> Plan:
    """Decide. Never raises for a user's mistake: that is a condition in `status`."""
    if observed.service.deleting or _namespace_ends(observed):
        return Plan()
    holdings = survey(observed)
    if holdings.unknown:
        return Plan(lookups=holdings.unknown)
    service = resolve(observed.service, policy)
    # Not while the spec cannot be carried out: the profiles at hand are of the model that it names.
    # The documents stay, and are counted when it can be.
    starts = new_starts(observed, service, now) if isinstance(service, Resolved) else ()
    if starts:
        return Plan(starts=starts)
    rendered = _desired(observed, service, holdings, now)
    if isinstance(rendered, Problem):
        return _refuse(observed, rendered, holdings, now)
    changes = _changes(observed, holdings, rendered)
    situation = Situation(
        observed=_with_standing_refusals(observed, changes),
        service=rendered.service,
        holdings=holdings,
        render=rendered,
        rollout=read_rollout(holdings.live.get(ChildKind.DEPLOYMENT)),
        written=read_status(observed.service.status),
        now=now,
    )
    return _report(situation, changes)


def _namespace_ends(observed: Observed) -> bool:
    """Nothing can be made in a namespace that is being deleted, and its objects go one by one: to
    put them back, or to report each, would only be noise until the OcrService goes as well."""
    return any(NAMESPACE_ENDS in answer for answer in observed.refusals.values())


def _with_standing_refusals(observed: Observed, changes: tuple[Apply, ...]) -> Observed:
    """Without those of a change that is no longer wanted: nothing will be applied whose success
    could end them."""
    wanted = {change.kind for change in changes}
    standing = {kind: said for kind, said in observed.refusals.items() if kind in wanted}
    return replace(observed, refusals=standing)


def _desired(
    observed: Observed, service: Resolved | Problem, holdings: Holdings, now: datetime
) -> Render | Problem:
    """What the spec asks for; where it cannot be had, what was rendered last."""
    live = holdings.live.get(ChildKind.DEPLOYMENT)
    wanted = service if isinstance(service, Problem) else render(observed, service, live, now)
    if isinstance(wanted, Problem):
        return last_render(observed, holdings, wanted)
    return wanted


def _refuse(observed: Observed, problem: Problem, holdings: Holdings, now: datetime) -> Plan:
    """Only say so: nothing of ours is there that could be kept as it is."""
    rollout = read_rollout(holdings.ours.get(ChildKind.DEPLOYMENT))
    status = refusal_status(observed.service, problem, rollout, now)
    written = read_status(observed.service.status)
    if same(status, written):
        return Plan()
    return Plan(status=status.wire(), events=status_events(written, status))


def _changes(observed: Observed, holdings: Holdings, rendered: Render) -> tuple[Apply, ...]:
    """Everything that differs. While a name is taken nothing new is made: pods without their
    Service would be of no use, and a Service without its pods would select nothing."""
    service = rendered.service
    wanted = {ChildKind.DEPLOYMENT: deployment(service, rendered.template, rendered.annotations)}
    if observed.service.spec is not None:
        # What the Service is to be stands in the spec alone.
        wanted[ChildKind.SERVICE] = service_manifest(service)
    found = []
    for kind, manifest in wanted.items():
        if kind in holdings.missing:
            if not holdings.conflicts:
                found.append(Apply(kind, manifest, force=False, why="created"))
        elif kind in holdings.adopted:
            found.append(Apply(kind, manifest, force=True, why="adopted"))
        elif kind in holdings.ours:
            why = _why(holdings.ours[kind], manifest)
            if why is not None:
                found.append(Apply(kind, manifest, force=True, why=why))
    return tuple(found)


def _why(live: LiveChild, manifest: dict[str, Any]) -> str | None:
    """What an apply would change. The hash tells of fields that are no longer wanted, the
    comparison of what somebody else changed."""
    different = difference(live.manifest, manifest)
    if different is None:
        return None
    known = (live.manifest["metadata"].get("annotations") or {}).get(APPLIED_HASH)
    # Our own annotations change with everything else and tell a person nothing.
    path = difference(_without_annotations(live.manifest), _without_annotations(manifest))
    if known != manifest["metadata"]["annotations"][APPLIED_HASH]:
        return f"spec changed: {path}" if path else "spec changed"
    return f"drift: {path or different}"


def _without_annotations(manifest: Any) -> dict[str, Any]:
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "annotations"}
    return {**manifest, "metadata": metadata}


def _report(situation: Situation, changes: tuple[Apply, ...]) -> Plan:
    status = build_status(situation)
    changed = not same(status, situation.written)
    settled = settled_at(situation) if changed else None
    if settled is not None and not _lost_readiness(situation, status):
        changed = False
    rendered = situation.render
    read = scrapes(
        situation.observed,
        template.port(rendered.template),
        rendered.numbers.center,
        situation.now,
        watched=template.has_secrets(rendered.template),
    )
    moments = (settled, check_again_at(situation), _look_again_at(situation))
    events = change_events(changes)
    if changed:
        events += status_events(situation.written, status)
    return Plan(
        apply=changes,
        status=status.wire() if changed else None,
        events=events,
        scrapes=read,
        requeue_at=min((moment for moment in moments if moment is not None), default=None),
    )


def _lost_readiness(situation: Situation, status: OcrServiceStatus) -> bool:
    """Whether it would say that the service is no longer ready: that never waits."""
    before, after = situation.wrote(reasons.READY), written_condition(status, reasons.READY)
    was = before is not None and before.status == "True"
    return was and after is not None and after.status != "True"


def _look_again_at(situation: Situation) -> datetime | None:
    """For what no watch tells: an object without our label, and one that is being deleted."""
    if situation.holdings.leaving:
        return situation.now + timedelta(seconds=LEAVING_SECONDS)
    if not situation.holdings.conflicts:
        return None
    known = situation.wrote(reasons.READY)
    since = situation.now
    if known is not None and known.reason == reasons.NAME_CONFLICT:
        since = known.last_transition_time
    lasted = (situation.now - since).total_seconds()
    pause = min(max(lasted, FIRST_CONFLICT_SECONDS), LONGEST_CONFLICT_SECONDS)
    return situation.now + timedelta(seconds=pause)


__all__ = [
    "API_VERSION",
    "FIELD_MANAGER",
    "PREFIX",
    "Apply",
    "Event",
    "EventType",
    "Plan",
    "Policy",
    "Scrape",
    "plan",
]
