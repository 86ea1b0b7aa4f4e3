"""Jobs in a bucket that is slow: what one call's slowness means for the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ocr_inference.jobs.ledger import Ledger
from ocr_inference.jobs.s3 import BucketObjects
from ocr_inference.metrics import Metrics
from ocr_inference.sinks import base as base_module
from ocr_inference.sinks.base import THREADS, StoreFailed
from ocr_inference.sinks.bucket import Bucket

REPLICA = "r"
RECORD, RESULT = "jobs/1/job.json", "jobs/1/result.json"
OTHER = "jobs/2/result.json"


class SlowBucket:
    """Documents and results, and what a test names, wait until it is over."""

    conditional = True

    def __init__(self) -> None:
        self.over = threading.Event()
        self.slow = [RESULT]

    def put(self, key: str, body: bytes | Path, *_others: Any, **_named: Any) -> str:
        self._wait(key, isinstance(body, Path))
        return "tag"

    def get(self, key: str) -> tuple[bytes, str]:
        self._wait(key)
        return b"{}", "tag"

    def _wait(self, key: str, document: bool = False) -> None:
        if document or key in self.slow:
            self.over.wait(20)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowBucket]:
    monkeypatch.setattr(base_module, "STORE_DEADLINE_S", 0.05)
    monkeypatch.setattr(base_module, "LEAST_BYTES_S", 10**12)
    monkeypatch.setattr(base_module, "LEAST_STORE_S", 0.05)
    bucket = SlowBucket()
    yield bucket
    bucket.over.set()


def put_document(objects: BucketObjects) -> Coroutine[Any, Any, None]:
    return objects.put_file("jobs/1/input", Path(__file__))


def get_result(objects: BucketObjects) -> Coroutine[Any, Any, Any]:
    return objects.get(RESULT)


@pytest.mark.parametrize("slow", [put_document, get_result])
def test_a_document_that_takes_too_long_stops_no_heartbeat(
    bucket: SlowBucket, slow: Callable[[BucketObjects], Coroutine[Any, Any, Any]]
) -> None:
    async def scenario() -> None:
        objects = BucketObjects(cast(Bucket, bucket), Metrics("1", "scripted"))
        with pytest.raises(StoreFailed, match="did not answer in"):
            await slow(objects)
        with pytest.raises(StoreFailed, match="does not answer"):  # nor does it wait again
            await slow(objects)
        await Ledger(objects).beat(REPLICA, 1)
        await objects.put(RECORD, b"{}")

    asyncio.run(scenario())


def test_a_heartbeat_does_not_wait_for_the_polls_of_clients(bucket: SlowBucket) -> None:
    bucket.slow.append(RECORD)

    async def scenario() -> None:
        objects = BucketObjects(cast(Bucket, bucket), Metrics("1", "scripted"))
        polls = [asyncio.create_task(objects.get(RECORD)) for _ in range(2 * THREADS)]
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await Ledger(objects).beat(REPLICA, 1)
        bucket.over.set()
        await asyncio.wait(polls)

    # More than one heartbeat may take, so that the polls are not given up before it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_module, "STORE_DEADLINE_S", 20.0)
        asyncio.run(scenario())


def test_a_large_document_gets_the_time_that_a_slow_line_takes(
    bucket: SlowBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_module, "LEAST_BYTES_S", Path(__file__).stat().st_size / 10)

    async def scenario() -> None:
        objects = BucketObjects(cast(Bucket, bucket), Metrics("1", "scripted"))
        sent = asyncio.create_task(put_document(objects))
        with pytest.raises(StoreFailed, match="did not answer in"):
            await objects.put(RESULT, b"a small one in the same line")
        assert not sent.done()
        bucket.over.set()
        await sent

    asyncio.run(scenario())


def test_a_document_that_is_too_slow_is_no_sign_of_a_dead_bucket_while_others_come_through(
    bucket: SlowBucket,
) -> None:
    async def scenario() -> None:
        objects = BucketObjects(cast(Bucket, bucket), Metrics("1", "scripted"))
        slow = asyncio.create_task(put_document(objects))
        await asyncio.sleep(0)
        while not slow.done():
            await objects.put(OTHER, b"{}")
            await asyncio.sleep(0.001)
        with pytest.raises(StoreFailed, match="did not answer in"):
            await slow
        await objects.put(OTHER, b"{}")

    asyncio.run(scenario())
