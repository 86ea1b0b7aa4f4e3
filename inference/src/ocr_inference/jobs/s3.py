"""Jobs in the bucket, where every replica sees them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from ocr_inference.jobs.keys import is_heartbeat, is_large
from ocr_inference.jobs.store import ABSENT, Storage
from ocr_inference.metrics import Metrics
from ocr_inference.sinks.base import THREADS, Place
from ocr_inference.sinks.bucket import Bucket

log = logging.getLogger("ocr_inference.jobs")

T = TypeVar("T")

_SMALL_S = 12.0
"""For what is not a document. With two heartbeats that took longer a replica would seem gone."""

_UNKNOWN_BYTES = 64 * 1024 * 1024
"""Taken for the size of a result that is read: far more than most, in time that a dead bucket does
not get, as each of its connections ends by itself."""

_HEARTBEAT_THREADS = 4


class _Lane:
    """What waits for its turn here waits for nothing else, and what hangs stops nothing else."""

    def __init__(self, metrics: Metrics, threads: int, within: float) -> None:
        self._place = Place("S3", metrics.s3_operations, "jobs", threads=threads)
        # One more would be refused by the place, as a sign that it hangs.
        self._room = asyncio.Semaphore(threads)
        self._within = within

    async def ask(self, operation: str, work: Callable[[], T], size: int = 0) -> T:
        async with self._room:
            return await self._place.ask(work, self._within, operation, size)


class BucketObjects:
    storage: Storage = "s3"
    shared = True

    def __init__(self, bucket: Bucket, metrics: Metrics) -> None:
        self._bucket = bucket
        self._heartbeats = _Lane(metrics, _HEARTBEAT_THREADS, _SMALL_S)
        self._records = _Lane(metrics, THREADS, _SMALL_S)
        self._documents = _Lane(metrics, THREADS, math.inf)

    @property
    def conditional(self) -> bool:
        return self._bucket.conditional

    def distrust(self) -> None:
        if self._bucket.conditional:
            log.info("this S3 endpoint does not keep the conditions of writes")
        self._bucket.conditional = False

    async def put(self, key: str, body: bytes, tag: str | None = None) -> str:
        match = None if tag == ABSENT else tag
        work = partial(self._bucket.put, key, body, absent=tag == ABSENT, match=match)
        return await self._lane(key).ask("put", work, len(body))

    async def get(self, key: str) -> tuple[bytes, str] | None:
        size = _UNKNOWN_BYTES if is_large(key) else 0
        return await self._lane(key).ask("get", partial(self._bucket.get, key), size)

    async def list(self, prefix: str, limit: int = 10_000) -> dict[str, str]:
        return await self._lane(prefix).ask("list", partial(self._bucket.list, prefix, limit))

    async def delete(self, *keys: str) -> None:
        lane = self._heartbeats if all(map(is_heartbeat, keys)) else self._records
        await lane.ask("delete", partial(self._bucket.delete, *keys))

    async def put_file(self, key: str, path: Path) -> None:
        work = partial(self._bucket.put, key, path, "application/octet-stream")
        size = (await asyncio.to_thread(path.stat)).st_size
        await self._documents.ask("put", work, size)

    async def get_file(self, key: str, path: Path, size: int) -> bool:
        return await self._documents.ask("get", partial(self._bucket.download, key, path), size)

    def _lane(self, key: str) -> _Lane:
        if is_heartbeat(key):
            return self._heartbeats
        return self._documents if is_large(key) else self._records
