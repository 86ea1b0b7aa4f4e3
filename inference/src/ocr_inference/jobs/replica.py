"""The jobs that this replica has: which wait, which run, and what becomes of them when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager, ExitStack

from ocr_inference.jobs.backlog import Backlog, Waiting
from ocr_inference.jobs.keeper import Keeper
from ocr_inference.jobs.ledger import Held, Ledger
from ocr_inference.jobs.live import Live, Stop
from ocr_inference.jobs.local import LocalObjects
from ocr_inference.jobs.model import JobRecord, JobStatus, new_id, utc_now
from ocr_inference.jobs.runner import Runner
from ocr_inference.metrics import Metrics
from ocr_inference.sinks.base import StoreFailed

log = logging.getLogger("ocr_inference.jobs")

MAX_RUNNING = 4
"""On one replica. Their pages share the queue with everybody's, so this is not what makes a server
fast; it is enough to have pages of another job at hand while one is stored."""

_LEAVE_S = 15.0
_GIVE_AWAY_S = 5.0
_END_S = 5.0

_TAKE_S = 5.0
"""So long a drain waits for the client of a job that is finished, and that nobody else has."""


class Replica:
    """`can_work`: it would get on with another's job. `in_flight`: held while a drain is to wait.
    `local_bytes`: of all jobs on this disk, where they are on it. `model`: what reads here."""

    def __init__(
        self,
        ledger: Ledger,
        runner: Runner,
        backlog: Backlog,
        metrics: Metrics,
        can_work: Callable[[], bool],
        in_flight: Callable[[], AbstractContextManager[None]],
        local_bytes: int,
        model: str,
    ) -> None:
        self.model = model
        self.id = new_id()
        self.ending = False
        """It was told to end; it may still work for its clients."""
        self.leaving = False
        """It begins no job any more."""
        self.backlog = backlog
        self.keeper = Keeper(ledger, self, runner.ttl)
        self._ledger = ledger
        self._runner = runner
        self._can_work = can_work
        self._in_flight = in_flight
        self._local_bytes = local_bytes
        self._live: dict[str, Live] = {}
        self._drains: dict[str, ExitStack] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}
        metrics.jobs.labels("queued").set_function(lambda: len(backlog))
        metrics.jobs.labels("running").set_function(lambda: len(self._running))

    @property
    def pages(self) -> int:
        """That are still to be read."""
        running = (self._live[job].record for job in self._running)
        return self.backlog.pages + sum(one.pages_total - one.pages_done for one in running)

    @property
    def jobs(self) -> int:
        """That are not finished."""
        return len(self.backlog) + len(self._running)

    def live(self, job: str) -> Live | None:
        return self._live.get(job)

    def runs(self, job: str) -> bool:
        return job in self._running

    def position(self, job: str) -> int | None:
        """How many jobs are before it, where it waits here."""
        return self.backlog.position(job, self._per_client())

    def seconds_left(self, record: JobRecord) -> int:
        """Until it is read, about."""
        ahead = self.backlog.pages if record.status is JobStatus.QUEUED else 0
        return self.backlog.retry_after(ahead + record.pages_total - record.pages_done)

    def own(self, held: Held) -> None:
        """The job, which has its place in the backlog, can be begun."""
        job = held.record.id
        self._live[job] = Live(held)
        drain = self._drains[job] = ExitStack()
        if not self._ledger.objects.shared:
            drain.enter_context(self._in_flight())
        self.backlog.ready(job)
        self._fill()

    async def give_away(self, held: Held) -> None:
        """Any other replica may have the job: at once, or when this one's heartbeat is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GIVE_AWAY_S):
                await self._runner.release(Live(held))

    async def cancel(self, live: Live, within: float) -> bool:
        """Wait for the end of the job's work, so many seconds; false where it is done already.

        Raises `StoreFailed` where a job that waits is not to be begun any more, and that could not
        be written yet.
        """
        if not live.halt(Stop.CANCEL):
            return False
        if self.backlog.remove(live.record.id):
            self._ending[live.record.id] = asyncio.create_task(self._end(live))
        try:
            async with asyncio.timeout(within):
                await live.ended.wait()
        except TimeoutError:
            if live.record.id in self._ending:
                raise StoreFailed("It does not take that the job is cancelled.") from None
        return True

    async def leave(self) -> None:
        """This replica is to end: others get its jobs at once. Where there are none, it is the
        drain that waits for the jobs, until `end`."""
        self.ending = True
        for live in self._live.values():
            live.tell()
        if self._ledger.objects.shared:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LEAVE_S):
                    await self._stop(Stop.RELEASE, self._runner.release)
                    await self.keeper.leave()

    async def end(self) -> None:
        """The drain is over: a job that no other replica can have fails where it is unfinished."""
        if not self._ledger.objects.shared:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await self._stop(Stop.END, self._runner.end)

    async def _stop(self, why: Stop, part: Callable[[Live], Awaitable[None]]) -> None:
        """Begin no job any more, stop those that run, and `part` from those that wait."""
        self.leaving = True
        for job in self._running:
            self._live[job].halt(why)
        waiting = [self._live[job] for job in self.waiting()]
        for live in waiting:
            self.backlog.remove(live.record.id)
            live.halt(why)
        parting = [part(live) for live in waiting]
        working = [*parting, *self._running.values(), *self._ending.values()]
        await asyncio.gather(*working, return_exceptions=True)
        for live in waiting:
            self._forget(live)

    # What the keeper calls.

    def has(self, job: str) -> bool:
        return job in self._live or job in self.backlog

    def can_take(self, record: JobRecord) -> bool:
        return record.model == self.model and not self.leaving and self._can_work()

    def take(self, held: Held) -> None:
        record = held.record
        self.backlog.put(Waiting(record.id, record.client, record.input.size, record.pages_total))
        self.own(held)

    def waiting(self) -> Collection[str]:
        begun = self._running.keys() | self._ending
        return [job for job in self._live if job not in begun]

    def drop(self, jobs: Collection[str]) -> None:
        for live in [self._live[job] for job in jobs if job in self._live]:
            if self.backlog.remove(live.record.id):
                self._forget(live)  # whoever asked has written its record
            else:
                live.halt(Stop.CANCEL)

    async def report(self) -> None:
        for job in list(self._running):
            if (live := self._live.get(job)) is not None:
                await self._runner.report(live)
        objects = self._ledger.objects
        if isinstance(objects, LocalObjects):
            while objects.used_bytes > self._local_bytes:
                if not await self._ledger.expire_oldest(utc_now(), self._runner.ttl):
                    break

    def _fill(self) -> None:
        """Begin what may be begun."""
        while not self.leaving and len(self._running) < MAX_RUNNING:
            job = self.backlog.take(self._per_client())
            if job is None:
                return
            self._running[job] = asyncio.create_task(self._drive(self._live[job]))

    async def _drive(self, live: Live) -> None:
        try:
            await self._runner.run(live)
        except Exception:
            # Its record stands, and in a shared store some replica takes it up again.
            log.exception("a job stopped", extra={"job": live.record.id})
            if not self._ledger.objects.shared:
                await self._runner.give_up(live)
        finally:
            del self._running[live.record.id]
            self._forget(live)
            self._fill()

    async def _end(self, live: Live) -> None:
        """Of a job that was not begun."""
        try:
            await self._runner.cancel(live)
        finally:
            del self._ending[live.record.id]
            self._forget(live)

    def _forget(self, live: Live) -> None:
        if self._live.pop(live.record.id, None) is not None:
            drain = self._drains.pop(live.record.id)
            asyncio.get_running_loop().call_later(_TAKE_S if self.ending else 0, drain.close)
        live.end()

    def _per_client(self) -> Counter[str]:
        return Counter(self._live[job].record.client for job in self._running)
