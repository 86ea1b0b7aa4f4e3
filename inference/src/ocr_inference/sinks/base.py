"""What the places for results have in common: the key, the time they get, how they fail."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from prometheus_client import Counter

from ocr_inference import logs

T = TypeVar("T")

log = logging.getLogger("ocr_inference.storage")

STORE_DEADLINE_S = 20.0
"""A client waits for its text: a bucket or a volume slower than this counts as down."""

LEAST_BYTES_S = 512 * 1024
"""Bytes that go to a place in a second at least: what is large gets its time beside that."""

LEAST_STORE_S = 1.0
"""Even when the request's time is up: what was read is worth one try of a place that works."""

DOWN_S = 30.0
"""So long nobody waits for a place that was down; then one request tries it."""

THREADS = 16
"""Far more than a place that works needs for what an engine reads."""


class StoreFailed(Exception):
    """The result was not taken; the sentence is public."""


class Changed(Exception):
    """A conditional write found another state than it was made for; nothing was written."""


class Place:
    """Asked in threads of its own, which are all that a dead volume or bucket blocks.

    No more results wait for it than there are threads: one that hangs would collect them all.
    `sentence` says for clients why it failed.
    """

    def __init__(
        self,
        name: str,
        operations: Counter,
        operation: str,
        sentence: Callable[[Exception], str] | None = None,
        threads: int | None = None,
    ) -> None:
        threads = threads or THREADS
        self._name = name
        self._operations = operations
        self._operation = operation
        self._sentence = sentence or (lambda _error: f"{name} did not answer as it should.")
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=operation)
        self._free = threading.Semaphore(threads)
        self._down_until = 0.0
        self._answered = 0.0

    async def ask(
        self,
        work: Callable[[], T],
        remaining: float,
        operation: str | None = None,
        size: int = 0,
    ) -> T:
        """What `work` returns, within the `remaining` seconds until the request's own deadline.

        `operation`: other than the usual one, for the metrics. `size`: bytes that need more time.
        Raises `StoreFailed` when `work` fails or takes longer, and at once when it surely would;
        `Changed` as `work` does.
        """
        operation, result = operation or self._operation, "failed"
        try:
            whole = STORE_DEADLINE_S + size / LEAST_BYTES_S
            answer = await self._ask(work, min(whole, max(LEAST_STORE_S, remaining)), whole)
            result = "ok"
            return answer
        except (StoreFailed, Changed):
            raise
        except Exception as error:
            log.warning("%s failed: %s", operation, logs.kind(error))
            raise StoreFailed(self._sentence(error)) from error
        finally:
            self._operations.labels(operation, result).inc()

    async def _ask(self, work: Callable[[], T], within: float, whole: float) -> T:
        now = time.monotonic()
        if now < self._down_until or not self._free.acquire(blocking=False):
            raise StoreFailed(f"{self._name} does not answer.")
        if self._down_until > 0:
            self._down_until = now + DOWN_S  # this one tries, the others need not
        asked = self._threads.submit(work)
        asked.add_done_callback(lambda _done: self._free.release())
        answer = asyncio.wrap_future(asked)
        await asyncio.wait({answer}, timeout=within)
        if answer.done():
            self._down_until = 0.0
            self._answered = time.monotonic()
            return answer.result()
        answer.cancel()  # the thread goes on; nobody wants to know how it ends
        # One in a hurry says nothing about the place, nor a slow one while others are answered.
        if within == whole and self._answered < now:
            self._down_until = time.monotonic() + DOWN_S
        raise StoreFailed(f"{self._name} did not answer in {within:.0f} s.")


def result_key(identifier: str, created: datetime) -> str:
    """Where a result is kept, below a prefix or a folder. Nothing in it comes from a client."""
    return f"{created:%Y/%m/%d}/{identifier}.json"
