"""Bounds the answers that one client has in work at a time.

An answer that was kept is built in a moment and is as large as its document was: each is in memory
until its client has taken it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ocr_inference.errors import PublicError

MOST = 4
WAIT_S = 10.0
"""A browser asks for six pictures at once: the fifth has its turn."""

_RETRY_S = 10


class AnswerSlots:
    def __init__(self, most: int = MOST, wait: float = WAIT_S) -> None:
        self._most = most
        self._wait = wait
        self._clients: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def take(self, client: str) -> AsyncIterator[None]:
        """Raises `PublicError` 429 too_many_answers where none is free in time."""
        slots = self._clients.setdefault(client, asyncio.Semaphore(self._most))
        try:
            async with asyncio.timeout(self._wait):
                await slots.acquire()
        except TimeoutError:
            raise PublicError(
                429,
                "too_many_answers",
                f"{self._most} answers to this client are not taken yet.",
                retry_after=_RETRY_S,
            ) from None
        try:
            yield
        finally:
            slots.release()
