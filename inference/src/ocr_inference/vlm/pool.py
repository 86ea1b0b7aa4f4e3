"""How many blocks are with the VLM server at a time, over all pages and requests."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

LEAST_PAGE_BLOCKS = 4
"""A page counts as so many blocks at least: its image is on the disk until it is finished."""


class BlockPool:
    """A turn for every page: one of a hundred blocks delays the others' by one block at a time."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: OrderedDict[object, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def slot(self, page: object) -> AsyncIterator[None]:
        """One of the slots, held until the end. `page` says whose turn it is."""
        await self._take(page)
        try:
            yield
        finally:
            self._free += 1
            self._grant()

    async def _take(self, page: object) -> None:
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(page, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # granted and cancelled at the same time
                self._free += 1
                self._grant()
            raise

    def _grant(self) -> None:
        while self._free and self._waiting:
            page, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[page] = turns
            if not turn.done():
                self._free -= 1
                turn.set_result(None)


class PageRoom:
    """Bounds the blocks that wait, and with them the pages: twice what the pool takes keeps it
    busy. A page that alone has more is let in too."""

    def __init__(self, concurrency: int) -> None:
        self._most = max(2 * concurrency, 2 * LEAST_PAGE_BLOCKS)
        self._held = 0
        self.now = 0
        """How many pages are in it."""
        self._freed = asyncio.Event()

    @property
    def pages(self) -> int:
        """So many pages can be in it."""
        return math.ceil(self._most / LEAST_PAGE_BLOCKS)

    @asynccontextmanager
    async def page(self) -> AsyncIterator[PageShare]:
        while self._held >= self._most:
            self._freed.clear()
            await self._freed.wait()
        share = PageShare(self._hold)
        share.needs(0)
        self.now += 1
        try:
            yield share
        finally:
            self.now -= 1
            self._hold(-share.held)

    def _hold(self, more: int) -> None:
        self._held += more
        self._freed.set()


class PageShare:
    """What one page holds of the room."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        self._hold = hold
        self.held = 0

    def needs(self, blocks: int) -> None:
        """So many of the page's blocks are still to be answered."""
        blocks = max(blocks, LEAST_PAGE_BLOCKS)
        self._hold(blocks - self.held)
        self.held = blocks
