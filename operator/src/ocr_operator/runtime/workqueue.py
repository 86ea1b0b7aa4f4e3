"""The work queue: each key at most once in the queue and at most once in work, with delays and
back-off."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF_SECONDS = 1.0
"""After the first failure: most are a conflict or a short outage of the API server."""
LONGEST_BACKOFF_SECONDS = 300.0
"""A key that always fails costs one attempt in five minutes."""
BACKOFF_JITTER = 0.2
"""Share of the delay that is random: keys that failed together must not come back together."""

SPARE_ENTRIES = 64
"""Overtaken entries the heap may hold before it is rebuilt, beside as many as there are valid
ones."""


class WorkQueue(Generic[K]):
    """Events may add a key as often as they like: it is worked on once, and once more if it was
    added while it was in work. A key that failed comes back after its back-off, or at once when it
    is added again: an edit that mends it must not wait five minutes.

    Nothing here is thread-safe: one event loop owns it.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._ready: dict[K, float] = {}
        """Keys to work on in order, with the time they became ready."""
        self._running: dict[K, float | None] = {}
        """Keys in work; the value is when the key was added again meanwhile."""
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        """Due times, with entries that `_due` no longer agrees with: skipped when they come up."""
        self._sequence = 0
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def add(self, key: K) -> None:
        """Work on the key as soon as possible."""
        if self._closed:
            return
        self._due.pop(key, None)
        now = self._clock()
        if key in self._running:
            if self._running[key] is None:
                self._running[key] = now
        else:
            self._ready.setdefault(key, now)
            self._wake.set()

    def schedule(self, key: K, delay: float) -> None:
        """Work on the key after `delay` seconds, in place of what was scheduled for it before."""
        if self._closed:
            return
        if delay <= 0:
            self.add(key)
            return
        self._sequence += 1
        self._due[key] = due, sequence = self._clock() + delay, self._sequence
        heapq.heappush(self._heap, (due, sequence, key))
        if len(self._heap) > 2 * len(self._due) + SPARE_ENTRIES:
            self._compact()
        self._wake.set()

    def forget(self, key: K) -> None:
        """Drop everything about the key; work that runs goes on."""
        self._ready.pop(key, None)
        self._due.pop(key, None)
        self._failures.pop(key, None)
        if key in self._running:
            self._running[key] = None

    def take(self) -> K | None:
        """The next key, in work from now on; None when there is none yet."""
        self._promote()
        for key in self._ready:
            del self._ready[key]
            self._running[key] = None
            return key
        return None

    def done(self, key: K) -> None:
        """The work on the key ended well."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """The work on the key failed: it comes back after the back-off that is returned,
        seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(at_least, backoff(failures, self._chance()))
        if not self._release(key):
            self.schedule(key, delay)
        return delay

    async def get(self) -> K | None:
        """Wait for the next key; None when the queue was closed."""
        while not self._closed:
            if (key := self.take()) is not None:
                return key
            self._wake.clear()
            try:
                async with asyncio.timeout(self._until_next()):
                    await self._wake.wait()
            except TimeoutError:
                continue
        return None

    def close(self) -> None:
        """Hand out no more keys; what is in work may end."""
        self._closed = True
        self._wake.set()

    def oldest_seconds(self) -> float:
        """For how long the oldest key waits to be worked on."""
        return max((self._clock() - since for since in self._ready.values()), default=0.0)

    def depth(self) -> int:
        """Keys that wait to be worked on."""
        return len(self._ready)

    def in_work(self) -> int:
        """Keys that are worked on."""
        return len(self._running)

    def scheduled(self) -> int:
        """Keys that come back later."""
        return len(self._due)

    def _release(self, key: K) -> bool:
        """Whether the key was added while it was in work, and so waits again."""
        again = self._running.pop(key, None)
        if again is None or self._closed:
            return False
        self._ready[key] = again
        self._wake.set()
        return True

    def _promote(self) -> None:
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._valid(entry):
                self.add(entry[2])

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if self._valid(entry)]
        heapq.heapify(self._heap)

    def _valid(self, entry: tuple[float, int, K]) -> bool:
        due, sequence, key = entry
        return self._due.get(key) == (due, sequence)

    def _until_next(self) -> float | None:
        while self._heap and not self._valid(self._heap[0]):
            heapq.heappop(self._heap)
        return max(0.0, self._heap[0][0] - self._clock()) if self._heap else None


def backoff(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row; `chance` in [0, 1) spreads them."""
    # The exponent is bounded: 2.0 ** 1100 overflows after a weekend of failures.
    doubled = FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 30)
    return min(doubled, LONGEST_BACKOFF_SECONDS) * (1 - BACKOFF_JITTER * chance)
