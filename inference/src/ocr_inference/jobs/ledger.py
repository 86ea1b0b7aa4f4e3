"""The jobs' objects: what they are called, in which order they are written, who may write.

| key | what |
|---|---|
| `jobs/<id>/input`, `job.json`, `result.json` | the document, the record, what was read |
| `jobs-active/<id>` | stands for a job that is not finished: a scan lists nothing else |
| `jobs-active/<id>.cancel` | its owner is to stop it |
| `jobs-expiry/<time>-<id>` | when a finished job is to be removed, in the order of time |
| `jobs-expired/<time>-<id>` | the same for the record that is left of it |
| `jobs-keys/<hash>` | the job of an `Idempotency-Key` |
| `jobs-replicas/<replica>` | a replica's heartbeat |

The record is the truth; what stands beside it may be left over and is put right by the next scan.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ocr_inference.jobs.model import JobRecord, JobStatus
from ocr_inference.jobs.result import JobResult, load_result
from ocr_inference.jobs.store import ABSENT, Changed, Objects

ACTIVE = "jobs-active/"
EXPIRY = "jobs-expiry/"
EXPIRED = "jobs-expired/"
REPLICAS = "jobs-replicas/"
_INPUT = "/input"
_RESULT = "/result.json"

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


class Ledger:
    def __init__(self, objects: Objects) -> None:
        self.objects = objects

    async def read(self, job: str) -> Held | None:
        found = await self.objects.get(_record(job))
        return None if found is None else Held(JobRecord.model_validate_json(found[0]), found[1])

    async def write(self, record: JobRecord, tag: str) -> Held:
        """Replace the record that has this tag. Raises `Changed`: somebody else did."""
        if not self.objects.conditional:
            found = await self.objects.get(_record(record.id))
            if found is None or found[1] != tag:
                raise Changed(record.id)
        return Held(record, await self.objects.put(_record(record.id), record.json_bytes(), tag))

    async def create(self, record: JobRecord, document: Path) -> Held:
        """Keep a new job. It is promised to nobody before all of it is there."""
        await self.objects.put_file(_input(record.id), document)
        try:
            tag = await self.objects.put(_record(record.id), record.json_bytes(), ABSENT)
            await self.objects.put(ACTIVE + record.id, record.owner.encode())
        except BaseException:
            await asyncio.shield(self.objects.delete(*_parts(record.id)))
            raise
        return Held(record, tag)

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
            found = await self.read(record.id)
            return found if found is not None and found.record.owner == owner else None
        return taken

    async def finish(self, record: JobRecord, tag: str) -> Held:
        """Write the last record of a job; what would be left without it is written before."""
        if record.expires_at is not None:
            await self.objects.put(_timed(EXPIRY, record.id, record.expires_at), b"")
        held = await self.write(record, tag)
        await self.objects.delete(ACTIVE + record.id, cancel_key(record.id))
        return held

    async def keep_result(self, job: str, data: bytes) -> bool:
        """Whether it was kept. The first result of a job is its result: another stays."""
        if not self.objects.conditional and await self.objects.get(_result(job)) is not None:
            return False
        try:
            await self.objects.put(_result(job), data, ABSENT)
        except Changed:
            return False
        return True

    async def result(self, job: str) -> JobResult | None:
        found = await self.objects.get(_result(job))
        return None if found is None else await asyncio.to_thread(load_result, found[0])

    async def document(self, job: str, path: Path) -> bool:
        """Put the job's input at `path`; whether it was there."""
        return await self.objects.get_file(_input(job), path)

    async def ask_to_cancel(self, job: str) -> None:
        await self.objects.put(cancel_key(job), b"")

    async def remove(self, record: JobRecord) -> None:
        """Everything of a finished job."""
        keys = [*_parts(record.id), cancel_key(record.id)]
        if record.expires_at is not None:
            keys.append(_timed(EXPIRY, record.id, record.expires_at))
        if record.idempotency is not None:
            promise = await self.promise(record.idempotency)
            if promise is not None and promise.job == record.id:
                keys.append(record.idempotency)
        await self.objects.delete(*keys)

    async def expire(self, now: datetime, ttl: timedelta, limit: int) -> int:
        """Remove what has had its time, oldest first. A record stays as long again, so that its
        client learns what became of the job. Returns how many jobs were looked at."""
        due = 0
        for prefix, end in ((EXPIRY, self._expire), (EXPIRED, self._forget)):
            for key in await self.objects.list(prefix, limit):
                until, job = _expires(key)
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
            await self._forget(key, _expires(key)[1], now, ttl)
        for key in oldest:
            await self._expire(key, _expires(key)[1], now, ttl, early=True)
        return bool(left or oldest)

    async def _expire(
        self, key: str, job: str, now: datetime, ttl: timedelta, early: bool = False
    ) -> None:
        held = await self.read(job)
        # Of others another attempt has left it, or whoever expired the job did not come so far.
        if held is not None and held.record.finished and (early or held.record.expired(now)):
            ended = held.record
            if ended.status is not JobStatus.EXPIRED:
                # The rest first: a record that says `expired` is the last trace of its job.
                promise = [ended.idempotency] if ended.idempotency else []
                await self.objects.delete(_input(job), _result(job), ACTIVE + job, *promise)
                until = now + ttl
                await self.objects.put(_timed(EXPIRED, job, until), b"")
                try:
                    await self.write(ended.to(JobStatus.EXPIRED, expires_at=until), held.tag)
                except Changed:  # another replica did it
                    return
        await self.objects.delete(key)

    async def _forget(self, key: str, job: str, _now: datetime, _ttl: timedelta) -> None:
        held = await self.read(job)
        parts = _parts(job) if held is None or held.record.status is JobStatus.EXPIRED else ()
        await self.objects.delete(*parts, key)

    async def promise(self, key: str) -> Promise | None:
        found = await self.objects.get(key)
        return None if found is None else Promise(**json.loads(found[0]))

    async def make_promise(self, key: str, promise: Promise) -> Promise:
        """Let a key stand for a job, and return what it stands for: another's was faster."""
        body = json.dumps({"job": promise.job, "content": promise.content}).encode()
        if not self.objects.conditional and (found := await self.promise(key)) is not None:
            return found
        try:
            await self.objects.put(key, body, ABSENT)
        except Changed:
            return await self.promise(key) or promise
        if self.objects.conditional:
            return promise
        await asyncio.sleep(_SETTLE_S)
        return await self.promise(key) or promise

    async def drop_promise(self, key: str) -> None:
        await self.objects.delete(key)

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


def promise_key(client: str, model: str, key: str) -> str:
    """Hashed: a client's name and what it sends are no names of objects."""
    told = "\0".join((client, model, key))
    return f"jobs-keys/{hashlib.sha256(told.encode()).hexdigest()}"


def cancel_key(job: str) -> str:
    return f"{ACTIVE}{job}.cancel"


def is_heartbeat(key: str) -> bool:
    """Others' trust in a replica depends on it: nothing may hold it up."""
    return key.startswith(REPLICAS)


def is_large(key: str) -> bool:
    """It grows with the document."""
    return key.endswith((_INPUT, _RESULT))


def _input(job: str) -> str:
    return f"jobs/{job}{_INPUT}"


def _record(job: str) -> str:
    return f"jobs/{job}/job.json"


def _result(job: str) -> str:
    return f"jobs/{job}{_RESULT}"


def _parts(job: str) -> tuple[str, ...]:
    # The record last: as long as it is there the rest can be found.
    return ACTIVE + job, _result(job), _input(job), _record(job)


def _timed(prefix: str, job: str, until: datetime) -> str:
    return f"{prefix}{math.ceil(until.timestamp()):011d}-{job}"


def _expires(key: str) -> tuple[datetime, str]:
    seconds, _, job = key.rpartition("/")[2].partition("-")
    return datetime.fromtimestamp(int(seconds), tz=UTC), job
