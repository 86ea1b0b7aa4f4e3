"""What a replica does for the jobs of all: its heartbeat, jobs without a replica, old jobs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Protocol

from ocr_inference import logs
from ocr_inference.jobs.keys import ACTIVE, cancel_key
from ocr_inference.jobs.lease import HEARTBEAT_S, STALE_S, Heartbeats
from ocr_inference.jobs.ledger import Held, Ledger, NewerRecord
from ocr_inference.jobs.model import JobRecord, JobStatus, cancelled, unread, utc_now
from ocr_inference.sinks.base import StoreFailed

log = logging.getLogger("ocr_inference.jobs")

_EXPIRE_S = 60.0
_EXPIRE_AT_ONCE = 500
_FORGET_REPLICA_S = 4 * STALE_S

UNRECORDED_S = 600.0
"""So long a name without a record stands when nobody is writing the job down: what was given up may
still arrive, and is removed with the rest."""


class Host(Protocol):
    """The replica, as far as the keeper needs it."""

    @property
    def id(self) -> str: ...

    @property
    def model(self) -> str:
        """What reads here."""
        ...

    def has(self, job: str) -> bool: ...

    def can_take(self, record: JobRecord) -> bool:
        """It would get on with this job."""
        ...

    def take(self, held: Held) -> None:
        """A job that is this replica's now."""
        ...

    def waiting(self) -> Collection[str]:
        """Its jobs that are not begun."""
        ...

    def drop(self, jobs: Collection[str]) -> None:
        """Stop these jobs, and do not begin them."""
        ...

    async def report(self) -> None:
        """Write how far the running jobs are."""
        ...


class Keeper:
    def __init__(
        self,
        ledger: Ledger,
        host: Host,
        ttl: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._host = host
        self._ttl = ttl
        self._clock = clock
        self._heartbeats = Heartbeats()
        self._owners: dict[str, str] = {}
        self._unrecorded: dict[str, float] = {}
        """Since when names were seen that have no record."""
        self._newer: set[str] = set()
        """Jobs that are left to replicas of a newer version."""
        self._beats = 0
        self._introduced = asyncio.Lock()
        self._leaving = False

    async def introduce(self) -> None:
        """Before the first job is ours: whose owner has no heartbeat would seem to be nobody's."""
        async with self._introduced:
            if self._beats == 0 and self._ledger.objects.shared:
                await self._ledger.introduce(self._host.id)
                self._beats = 1

    async def leave(self) -> None:
        self._leaving = True
        await self._ledger.stop_beating(self._host.id)

    async def run(self) -> None:
        """For ever; a store that is down is tried again."""
        shared = (
            (_every(HEARTBEAT_S, self.beat), _every(HEARTBEAT_S, self.look))
            if self._ledger.objects.shared
            else ()
        )
        often = min(_EXPIRE_S, self._ttl.total_seconds())
        await asyncio.gather(
            *shared, _every(HEARTBEAT_S, self._host.report), _every(often, self._expire)
        )

    async def beat(self) -> None:
        if not self._leaving:
            await self.introduce()
            self._beats += 1
            await self._ledger.beat(self._host.id, self._beats)

    async def look(self) -> None:
        """Stop what is to be cancelled, and take over the jobs of replicas that are gone."""
        if self._leaving:
            return
        self._heartbeats.observe(await self._ledger.heartbeats(), self._clock())
        waiting = set(self._host.waiting())
        jobs, unwanted = await self._ledger.active()
        # What waits here and is not active any more was cancelled on another replica.
        self._host.drop(unwanted | waiting.difference(jobs))
        self._owners = {job: self._owners[job] for job in jobs if job in self._owners}
        since = self._unrecorded
        self._unrecorded = {job: since[job] for job in jobs if job in since}
        self._newer.intersection_update(jobs)
        others = [
            job
            for job in jobs
            if not (self._host.has(job) or self._kept(job) or job in self._newer)
        ]
        random.shuffle(others)  # so that two replicas do not try for the same one
        found = await asyncio.gather(*map(self._consider, others), return_exceptions=True)
        for error in found:
            if isinstance(error, Exception):
                why = error if isinstance(error, StoreFailed) else logs.kind(error)
                log.warning("a job was not taken over: %s", why)
        # Asked when the job had just finished: it is not active any more.
        if left := unwanted.difference(jobs):
            await self._ledger.objects.delete(*map(cancel_key, left))
        await self._forget_replicas()

    def _kept(self, job: str) -> bool:
        """Another replica has the job and lives."""
        owner = self._owners.get(job, "")
        return owner != self._host.id and self._heartbeats.lives(owner, self._clock())

    async def _consider(self, job: str) -> None:
        try:
            held = await self._ledger.read(job)
        except NewerRecord:
            log.warning("a job is left to a newer version of this server", extra={"job": job})
            self._newer.add(job)
            return
        if held is None:
            await self._consider_name(job)
            return
        if held.record.finished:  # whoever ended it did not come so far
            await self._ledger.objects.delete(ACTIVE + job, cancel_key(job))
            return
        self._owners[job] = held.record.owner
        if self._kept(job) or self._host.has(job):
            return
        if held.record.status is JobStatus.CANCELLING:
            await self._ledger.finish(cancelled(held.record, self._ttl), held.tag)
            return
        until = held.record.unread_until
        if held.record.model != self._host.model and until is not None and until <= utc_now():
            await self._ledger.finish(unread(held.record, self._ttl), held.tag)
            log.warning("a job failed: no replica has its model", extra={"job": job})
            return
        if not self._host.can_take(held.record):
            return
        await self.introduce()
        taken = await self._ledger.claim(held, self._host.id)
        if taken is not None:
            log.info("job taken over", extra={"job": job})
            self._host.take(taken)

    async def _consider_name(self, job: str) -> None:
        """Of a job without a record: its document is on its way, or was given up half-way."""
        self._owners[job] = await self._ledger.sender(job)
        if self._kept(job) or self._host.has(job):
            return
        now = self._clock()
        if now - self._unrecorded.setdefault(job, now) >= UNRECORDED_S:
            await self._ledger.clear(job)
            log.info("what was left of a job that never was is removed", extra={"job": job})

    async def _forget_replicas(self) -> None:
        still = self._heartbeats.still_for(self._clock())
        gone = [replica for replica, seconds in still.items() if seconds > _FORGET_REPLICA_S]
        if gone:
            await self._ledger.stop_beating(*gone)

    async def _expire(self) -> None:
        while await self._ledger.expire(utc_now(), self._ttl, _EXPIRE_AT_ONCE) >= _EXPIRE_AT_ONCE:
            pass


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except StoreFailed as error:
            log.warning("the jobs' store is down: %s", error)
        except Exception:
            log.exception("the jobs were not looked after")
        await asyncio.sleep(seconds)
