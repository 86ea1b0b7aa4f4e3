"""The jobs' objects (`keys.py`): in which order they are written, and who may write.

The record is the truth; what stands beside it may be left over and is put right by the next scan.
What has no record yet, or none any more, is found by its name among the active ones.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from ocr_inference.jobs.keys import (
    ACTIVE,
    EXPIRED,
    EXPIRY,
    REPLICAS,
    cancel_key,
    input_key,
    parts,
    record_key,
    result_key,
    timed,
    when,
)
from ocr_inference.jobs.model import JobRecord, JobStatus
from ocr_inference.jobs.result import JobResult, load_result
from ocr_inference.jobs.store import ABSENT, Changed, Objects
from ocr_inference.sinks.base import StoreFailed

_SETTLE_S = 1.0
"""Where the last writer wins: so long another's write may have been on its way with ours."""

_MOST_LEFT = 1000
"""Records of removed jobs that are kept where room is short, only to say that they expired."""


@dataclass(frozen=True, slots=True)
class Held:
    """A record with the tag that it was read or written with."""

    record: JobRecord
    tag: str


@dataclass(frozen=True, slots=True)
class Promise:
    """What an `Idempotency-Key` stands for."""

    job: str
    content: str


class NewerRecord(Exception):
    """A newer version of this server wrote the record: what this one does not know is in it."""


class Ledger:
    """What reads a record raises `NewerRecord`."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    async def read(self, job: str) -> Held | None:
        found = await self.objects.get(record_key(job))
        if found is None:
            return None
        try:
            return Held(JobRecord.model_validate_json(found[0]), found[1])
        except ValidationError as error:
            raise NewerRecord(job) from error

    async def write(self, record: JobRecord, tag: str) -> Held:
        """Replace the record that has this tag. Raises `Changed`: somebody else did."""
        if not self.objects.conditional:
            found = await self.objects.get(record_key(record.id))
            if found is None or found[1] != tag:
                raise Changed(record.id)
        return Held(record, await self.objects.put(record_key(record.id), record.json_bytes(), tag))

    async def create(self, record: JobRecord, document: Path) -> Held:
        """Keep a new job. It is promised to nobody before all of it is there; its name comes first,
        so that a keeper finds what was left half-way."""
        job = record.id
        try:
            await self.objects.put(ACTIVE + job, record.owner.encode())
            await self.objects.put_file(input_key(job), document)
            return Held(record, await self._put_first(record))
        except BaseException as error:
            given_up = isinstance(error, StoreFailed | asyncio.CancelledError)
            # A write that was given up may still arrive: the name is left for the keeper.
            left = 1 if given_up and self.objects.shared else 0
            keys = parts(job)
            await asyncio.shield(self.objects.delete(*keys[: len(keys) - left]))
            raise

    async def _put_first(self, record: JobRecord) -> str:
        body = record.json_bytes()
        try:
            return await self.objects.put(record_key(record.id), body, ABSENT)
        except Changed:
            found = await self.objects.get(record_key(record.id))
            if found is None or found[0] != body:
                raise
            return found[1]  # ours had arrived, its answer was lost, and it was sent again

    async def sender(self, job: str) -> str:
        """The replica that began to write the job down; empty where it is nobody's."""
        found = await self.objects.get(ACTIVE + job)
        return "" if found is None else found[0].decode()

    async def clear(self, job: str) -> None:
        """Everything of a job that has no record."""
        await self.objects.delete(*parts(job))

    async def claim(self, held: Held, owner: str) -> Held | None:
        """Take the job over; None when another replica was faster. It waits anew."""
        record = held.record
        waits = record if record.status is JobStatus.QUEUED else record.to(JobStatus.QUEUED)
        wanted = waits.model_copy(update={"owner": owner, "pages_done": 0})
        try:
            taken = await self.write(wanted, held.tag)
        except Changed:
            return None
        if not self.objects.conditional:
            await asyncio.sleep(_SETTLE_S)
            try:
                found = await self.read(record.id)
            except NewerRecord:  # a newer version was faster
                return None
            return found if found is not None and found.record.owner == owner else None
        return taken

    async def finish(self, record: JobRecord, tag: str) -> Held:
        """Write the last record of a job; what would be left without it is written before."""
        if record.expires_at is not None:
            await self.objects.put(timed(EXPIRY, record.id, record.expires_at), b"")
        held = await self.write(record, tag)
        await self.objects.delete(ACTIVE + record.id, cancel_key(record.id))
        return held

    async def keep_result(self, job: str, data: bytes) -> bool:
        """Whether it was kept. The first result of a job is its result: another stays."""
        if not self.objects.conditional and await self.objects.get(result_key(job)) is not None:
            return False
        try:
            await self.objects.put(result_key(job), data, ABSENT)
        except Changed:
            return False
        return True

    async def result(self, job: str) -> JobResult | None:
        found = await self.objects.get(result_key(job))
        return None if found is None else await asyncio.to_thread(load_result, found[0])

    async def document(self, record: JobRecord, path: Path) -> bool:
        """Put the job's input at `path`; whether it was there."""
        return await self.objects.get_file(input_key(record.id), path, record.input.size)

    async def ask_to_cancel(self, job: str) -> None:
        await self.objects.put(cancel_key(job), b"")

    async def remove(self, record: JobRecord) -> None:
        """Everything of a finished job."""
        keys = [*await self._promise_of(record), *parts(record.id)]
        if record.expires_at is not None:
            keys.append(timed(EXPIRY, record.id, record.expires_at))
        await self.objects.delete(*keys)

    async def _promise_of(self, record: JobRecord) -> list[str]:
        """The key that stands for this job; by now it may stand for a newer one."""
        if record.idempotency is None:
            return []
        found = await self.promise(record.idempotency)
        return [record.idempotency] if found is not None and found[0].job == record.id else []

    async def expire(self, now: datetime, ttl: timedelta, limit: int) -> int:
        """Remove what has had its time, oldest first. A record stays as long again, so that its
        client learns what became of the job. Returns how many jobs were looked at."""
        due = 0
        for prefix, end in ((EXPIRY, self._expire), (EXPIRED, self._forget)):
            for key in await self.objects.list(prefix, limit):
                until, job = when(key)
                if until > now:
                    break
                due += 1
                await end(key, job, now, ttl)
        return due

    async def expire_oldest(self, now: datetime, ttl: timedelta) -> bool:
        """Make room: remove the finished job whose time ends first, and what is left of others
        above so many; whether there was anything."""
        left = list(await self.objects.list(EXPIRED, 2 * _MOST_LEFT))
        oldest = list(await self.objects.list(EXPIRY, 1))
        for key in left[:-_MOST_LEFT] if oldest else left[:1]:
            await self._forget(key, when(key)[1], now, ttl)
        for key in oldest:
            await self._expire(key, when(key)[1], now, ttl, early=True)
        return bool(left or oldest)

    async def _expire(
        self, key: str, job: str, now: datetime, ttl: timedelta, early: bool = False
    ) -> None:
        try:
            held = await self.read(job)
        except NewerRecord:  # left for as long again to those that know what it says
            await self.objects.put(timed(EXPIRED, job, now + ttl), b"")
            await self.objects.delete(key)
            return
        # Of others another attempt has left it, or whoever expired the job did not come so far.
        if held is not None and held.record.finished and (early or held.record.expired(now)):
            ended = held.record
            if ended.status is not JobStatus.EXPIRED:
                # The rest first: a record that says `expired` is the last trace of its job.
                promise = await self._promise_of(ended)
                await self.objects.delete(
                    *promise, cancel_key(job), input_key(job), result_key(job), ACTIVE + job
                )
                until = now + ttl
                await self.objects.put(timed(EXPIRED, job, until), b"")
                try:
                    await self.write(ended.to(JobStatus.EXPIRED, expires_at=until), held.tag)
                except Changed:  # another replica did it
                    return
        await self.objects.delete(key)

    async def _forget(self, key: str, job: str, now: datetime, _ttl: timedelta) -> None:
        try:
            held = await self.read(job)
        except NewerRecord:  # its time was over long ago, and none that knows it was here
            held = None
        over = held is None or held.record.status is JobStatus.EXPIRED or held.record.expired(now)
        await self.objects.delete(*(parts(job) if over else ()), key)

    async def promise(self, key: str) -> tuple[Promise, str] | None:
        """What the key stands for, and the tag of that."""
        found = await self.objects.get(key)
        return None if found is None else (Promise(**json.loads(found[0])), found[1])

    async def make_promise(
        self, key: str, promise: Promise, over: str = ABSENT
    ) -> tuple[Promise, str]:
        """Let a key stand for a job, where it stands for none or for what has the tag `over`.
        Returns what it stands for, with its tag: another's was faster."""
        body = json.dumps({"job": promise.job, "content": promise.content}).encode()
        while True:
            if not self.objects.conditional:
                found = await self.promise(key)
                if found is not None and found[1] != over:
                    return found
            try:
                made = promise, await self.objects.put(key, body, over)
            except Changed:
                if (found := await self.promise(key)) is not None:
                    return found
                over = ABSENT  # it was removed meanwhile
                continue
            if self.objects.conditional:
                return made
            await asyncio.sleep(_SETTLE_S)
            return await self.promise(key) or made

    async def introduce(self, replica: str) -> None:
        """Write the first heartbeat, and see by it whether conditions are kept here: an endpoint
        may take them and write all the same."""
        for number in range(2):
            try:
                await self.objects.put(REPLICAS + replica, f"{replica} {number}".encode(), ABSENT)
            except Changed:
                return
        self.objects.distrust()

    async def beat(self, replica: str, count: int) -> None:
        await self.objects.put(REPLICAS + replica, f"{replica} {count}".encode())

    async def stop_beating(self, *replicas: str) -> None:
        await self.objects.delete(*(REPLICAS + replica for replica in replicas))

    async def heartbeats(self) -> dict[str, str]:
        """Tags by replica."""
        found = await self.objects.list(REPLICAS)
        return {key.removeprefix(REPLICAS): tag for key, tag in found.items()}

    async def active(self) -> tuple[list[str], set[str]]:
        """The jobs that are not finished, and those of them that are to be cancelled."""
        names = [key.removeprefix(ACTIVE) for key in await self.objects.list(ACTIVE)]
        wanted = {name.removesuffix(".cancel") for name in names if name.endswith(".cancel")}
        return [name for name in names if "." not in name], wanted
