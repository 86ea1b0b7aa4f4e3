"""Pages that were read before, and equal pages at the same time."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import tracemalloc
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import Counter

from ocr_inference.engine.supervisor import RawPage
from ocr_inference.errors import PublicError
from ocr_inference.reading.cache import ENTRY_BYTES, PageCache, PageKey
from ocr_inference.reading.queue import PageOutcome, PageWork


def key(number: int = 1, client: str = "x") -> PageKey:
    return PageKey(client, "sha", number, 200, (), "parse", "ocr")


def outcome(text: str = "text") -> PageOutcome:
    return PageOutcome(RawPage(Path("gone"), 3, 4, 200), {"blocks": [text]}, 1.0, 1.0, 1.0)


class Queue:
    """Stands where the pages are queued: they are read when a test says so."""

    def __init__(self) -> None:
        self.works: list[PageWork] = []

    def begin(self) -> PageWork:
        future: asyncio.Future[PageOutcome] = asyncio.get_running_loop().create_future()
        self.works.append(PageWork("x", "r", Path("p"), 1, 200, (), 0.0, 1.0, future))
        return self.works[-1]

    async def read(self, cache: PageCache, wanted: PageKey, text: str = "text") -> bool:
        """Whether the page came from the cache."""
        reading = asyncio.create_task(cache.read(wanted, self.begin))
        before = len(self.works)
        await asyncio.sleep(0)
        if len(self.works) > before:
            self.works[-1].outcome.set_result(outcome(text))
        read, cached = await reading
        assert read.text == {"blocks": [text]}
        return cached


def cache_of(max_bytes: int = 100_000) -> tuple[PageCache, Counter]:
    hits = Counter("hits", "", ["kind"], registry=None)
    return PageCache(max_bytes, hits), hits


def test_a_page_is_read_once() -> None:
    async def scenario() -> None:
        (cache, _), queue = cache_of(), Queue()
        assert not await queue.read(cache, key())
        assert await queue.read(cache, key())
        assert not await queue.read(cache, key(number=2))
        assert not await queue.read(cache, key(client="y"))
        assert len(queue.works) == 3

    asyncio.run(scenario())


def test_what_a_reader_does_with_a_page_does_not_change_it() -> None:
    async def scenario() -> None:
        (cache, _), queue = cache_of(), Queue()
        await queue.read(cache, key())
        (first, _) = await cache.read(key(), queue.begin)
        first.text["blocks"].append("more")
        assert await queue.read(cache, key())

    asyncio.run(scenario())


def test_the_oldest_go_when_it_is_full_and_pages_too_large_are_not_kept() -> None:
    async def scenario() -> None:
        (cache, _), queue = cache_of(2 * ENTRY_BYTES + 100), Queue()
        for number in (1, 2, 3):
            await queue.read(cache, key(number), text="x" * 20)
        assert await queue.read(cache, key(3), text="x" * 20)
        assert not await queue.read(cache, key(1), text="x" * 20)
        large = "x" * 2 * ENTRY_BYTES
        await queue.read(cache, key(9), text=large)
        assert not await queue.read(cache, key(9), text=large)
        assert await queue.read(cache, key(1), text="x" * 20)

    asyncio.run(scenario())


@pytest.mark.parametrize("text", ["", "x" * 5000])
def test_the_bound_is_of_the_memory_that_is_really_taken(text: str) -> None:
    bound = 500_000

    async def scenario() -> int:
        cache, _ = cache_of(bound)

        def begin(number: int) -> PageWork:
            work = Queue().begin()
            image = RawPage(Path(f"/tmp/{'0' * 32}/{number}.bgr"), number, number, number)
            page = PageOutcome(image, {"text": text}, 0.1 * number, 0.1 * number, 0.1 * number)
            work.outcome.set_result(page)
            return work

        tracemalloc.start()
        try:
            for number in range(1000, 1000 + 3 * bound // (1000 + len(text))):
                sha256 = hashlib.sha256(str(number).encode()).hexdigest()
                wanted = PageKey("x", sha256, number, number, ("deu", "eng"), "parse", "ocr")
                await cache.read(wanted, partial(begin, number))
            gc.collect()
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert 0.5 * bound < asyncio.run(scenario()) < 1.3 * bound


def test_without_memory_nothing_is_kept() -> None:
    async def scenario() -> None:
        (cache, _), queue = cache_of(0), Queue()
        assert not await queue.read(cache, key())
        assert not await queue.read(cache, key())

    asyncio.run(scenario())


def test_equal_pages_at_the_same_time_are_read_once() -> None:
    async def scenario() -> None:
        (cache, hits), queue = cache_of(), Queue()
        readings = [asyncio.create_task(cache.read(key(), queue.begin)) for _ in range(5)]
        await asyncio.sleep(0)
        (work,) = queue.works
        work.outcome.set_result(outcome())
        assert [cached for _, cached in await asyncio.gather(*readings)] == [False] + [True] * 4
        assert hits.labels("joined")._value.get() == 4

    asyncio.run(scenario())


def test_when_the_first_leaves_the_next_goes_on() -> None:
    async def scenario() -> None:
        (cache, _), queue = cache_of(), Queue()
        readings = [asyncio.create_task(cache.read(key(), queue.begin)) for _ in range(3)]
        await asyncio.sleep(0)
        readings[0].cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert queue.works[0].outcome.cancelled()
        assert len(queue.works) == 2
        queue.works[1].outcome.set_result(outcome())
        await asyncio.gather(*readings[1:])

    asyncio.run(scenario())


@pytest.mark.parametrize(("status", "works"), [(422, 1), (502, 2), (504, 2)])
def test_a_failure_is_shared_when_the_page_is_at_fault(status: int, works: int) -> None:
    async def scenario() -> None:
        (cache, _), queue = cache_of(), Queue()
        readings = [asyncio.create_task(cache.read(key(), queue.begin)) for _ in range(2)]
        await asyncio.sleep(0)
        queue.works[0].outcome.set_exception(PublicError(status, "code", "why"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(queue.works) == works
        if works == 2:
            queue.works[1].outcome.set_result(outcome())
        results = await asyncio.gather(*readings, return_exceptions=True)
        failed = [result for result in results if isinstance(result, PublicError)]
        assert len(failed) == 3 - works
        assert not await queue.read(cache, key()) or works == 2

    asyncio.run(scenario())
