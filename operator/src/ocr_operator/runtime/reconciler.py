"""One OcrService at a time: observe, plan, carry out. Everything that is decided is decided by
`plan`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ocr_operator.core.events import change_events
from ocr_operator.core.observed import ChildKind, Key, LiveChild, ServiceView
from ocr_operator.core.plan import Apply, Plan, Policy, plan
from ocr_operator.runtime.apply import KubeApi
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.errors import ApiError, Forbidden, NotFound, Refused, Retryable
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.runtime.recorder import Recorder
from ocr_operator.runtime.scrape import Scraper
from ocr_operator.runtime.views import pack_child, unpack_child
from ocr_operator.runtime.workqueue import WorkQueue

log = logging.getLogger(__name__)

ROUNDS = 4
"""Plans in one reconcile: lookups, starts, and both once more. A plan that asks further is a
bug."""


class OwnerGone(Exception):
    """There is no OcrService to act for, or soon will be none, whatever the cache has."""


class Unsettled(RuntimeError):
    """The plan went on asking for lookups or recording starts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reconcile works with."""

    cache: Cache
    api: KubeApi
    policy: Policy
    profiles: ProfileStore
    scraper: Scraper
    recorder: Recorder
    metrics: Metrics
    now: Callable[[], datetime]
    serves: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`requeue_at` is the plan's; `changed` whether anything was written."""

    changed: bool = False
    gone: bool = False
    requeue_at: datetime | None = None


class Reconciler:
    """Keeps nothing between reconciles but what the API server refused."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._refusals: dict[Key, dict[ChildKind, str]] = {}

    async def reconcile(self, key: Key) -> Outcome:
        """Bring the world of one OcrService to its spec. Raises an `ApiError` when it has to be
        repeated."""
        try:
            outcome = await self._reconcile(key)
        except (OwnerGone, NotFound) as error:
            # A write may also miss something else: that is worth another try.
            if isinstance(error, NotFound) and await self._parts.api.find_service(key):
                raise
            # Deleted a moment ago. Not to be repeated: its last event, and the first one of a
            # successor, are on the way.
            log.info("the OcrService is gone: %s", error, extra={"key": str(key)})
            outcome = Outcome(gone=True)
        if outcome.gone:
            self._refusals.pop(key, None)
            self._parts.scraper.schedule(key, (), ())
        return outcome

    async def _reconcile(self, key: Key) -> Outcome:
        first = await self._decide(key)
        if first is None:
            return Outcome(gone=True)
        service, decision = first
        refused: ApiError | None = None
        if decision.apply:
            if not all(change.force for change in decision.apply):
                await self._may_create(service)
            refused = await self._apply(service, decision.apply)
            decision = await self._decide_again(key, decision)
        await self._report(service, decision)
        if refused is not None:
            raise refused
        changed = bool(decision.apply) or decision.status is not None
        return Outcome(changed=changed, requeue_at=decision.requeue_at)

    async def _decide(self, key: Key) -> tuple[ServiceView, Plan] | None:
        """Plan until the plan asks for nothing more; None when there is no such OcrService."""
        parts = self._parts
        lookups: dict[ChildKind, LiveChild | None] = {}
        for _ in range(ROUNDS):
            service = parts.cache.service(key)
            if service is None or not parts.serves(key.namespace):
                return None
            model = service.spec.model.name if service.spec else ""
            observed = parts.cache.observe(
                service,
                lookups,
                parts.scraper.readings,
                parts.profiles.of_model(model),
                self._refusals.get(key, {}),
            )
            decision = plan(observed, parts.policy, parts.now())
            for start_key, start in decision.starts:
                if parts.profiles.record(start_key, start):
                    parts.metrics.observe_start(start_key, start)
            for kind in decision.lookups:
                lookups[kind] = await self._look_up(kind, key)
            if not decision.lookups and not decision.starts:
                return service, decision
        raise Unsettled(f"{key}: still lookups {decision.lookups}, {len(decision.starts)} starts")

    async def _decide_again(self, key: Key, done: Plan) -> Plan:
        """The status and what follows from what is there now: the answers of the writes are in the
        cache. Written now, it is one write less than after their watch events."""
        again = await self._decide(key)
        if again is None:
            return done
        events = tuple(dict.fromkeys((*done.events, *again[1].events)))
        return replace(again[1], apply=done.apply, events=events)

    async def _look_up(self, kind: ChildKind, key: Key) -> LiveChild | None:
        body = await self._parts.api.find_child(kind, key)
        return unpack_child(kind, pack_child(body)) if body else None

    async def _may_create(self, service: ServiceView) -> None:
        """Raises `OwnerGone` for an owner that is gone, which a watch tells a moment late: a child
        made for it would be collected, and made again for as long as the cache has the owner. And
        for one that is about to go: a namespace that is being deleted loses its objects in any
        order, and refuses each that is put back."""
        api, key = self._parts.api, service.key
        body = await api.find_service(key)
        if body is None or body["metadata"]["uid"] != service.uid:
            raise OwnerGone("its deletion is not in the cache yet")
        if await api.namespace_ends(key.namespace):
            raise OwnerGone("its namespace is being deleted")

    async def _apply(self, service: ServiceView, changes: tuple[Apply, ...]) -> ApiError | None:
        """Carry out the changes. What somebody has to act on is returned, when the others are
        done."""
        key, refused = service.key, None
        refusals = self._refusals.setdefault(key, {})
        for change in changes:
            try:
                answer = await self._parts.api.apply_child(key, change)
            except (Forbidden, Refused) as error:
                refusals[change.kind] = str(error)
                refused = error
                continue
            refusals.pop(change.kind, None)
            self._parts.cache.put_child(change.kind, answer)
            log.info("%s applied: %s", change.kind.value, change.why, extra=_about(service))
            # At once: a later failure must not lose it, a refused change must not be told.
            for event in change_events((change,)):
                self._parts.recorder.record(service, event)
        if not refusals:
            self._refusals.pop(key, None)
        return refused

    async def _report(self, service: ServiceView, decision: Plan) -> None:
        parts = self._parts
        if decision.status is not None:
            answer = await parts.api.apply_status(service.key, service.uid, decision.status)
            parts.cache.put_service(answer)
            log.info("status written: %s", _summary(decision.status), extra=_about(service))
        told = change_events(decision.apply)
        for event in decision.events:
            if event not in told:
                parts.recorder.record(service, event)
        pods = parts.cache.pods.get(service.key)
        parts.scraper.schedule(
            service.key, decision.scrapes, {pod.container_id for pod in pods if pod.container_id}
        )


async def work(reconciler: Reconciler, queue: WorkQueue[Key], parts: Parts) -> None:
    """One worker: keys one after another, until the queue is closed."""
    while (key := await queue.get()) is not None:
        begun = time.monotonic()
        try:
            outcome = await reconciler.reconcile(key)
        except ApiError as error:
            delay = queue.failed(key, error.after if isinstance(error, Retryable) else 0.0)
            result = "refused" if isinstance(error, Forbidden | Refused) else "retry"
            log.warning(
                "reconcile has to be repeated: %s",
                error,
                extra={"key": str(key), "retry_in": round(delay, 1)},
            )
        except Exception:
            # A bug, ours or of the data we did not expect: the other OcrServices go on.
            delay = queue.failed(key)
            result = "bug"
            log.exception("reconcile failed", extra={"key": str(key), "retry_in": round(delay, 1)})
        else:
            result = _result(outcome)
            _settle(queue, key, outcome, parts.now)
        parts.metrics.reconciles.labels(result).inc()
        parts.metrics.reconcile_seconds.observe(time.monotonic() - begun)


def _settle(queue: WorkQueue[Key], key: Key, outcome: Outcome, now: Callable[[], datetime]) -> None:
    if outcome.requeue_at is not None:
        queue.schedule(key, (outcome.requeue_at - now()).total_seconds())
    queue.done(key)


def _result(outcome: Outcome) -> str:
    if outcome.gone:
        return "gone"
    return "changed" if outcome.changed else "unchanged"


def _summary(status: Mapping[str, Any]) -> str:
    """`Ready=False Starting, Progressing=True RolloutInProgress, …`"""
    return ", ".join(
        f"{entry['type']}={entry['status']} {entry['reason']}"
        for entry in status.get("conditions", ())
    )


def _about(service: ServiceView) -> dict[str, object]:
    return {
        "key": f"{service.key.namespace}/{service.key.name}",
        "uid": service.uid,
        "generation": service.generation,
    }
