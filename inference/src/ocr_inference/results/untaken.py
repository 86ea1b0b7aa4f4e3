"""Bounds the bytes of written answers on the disk that their clients have not taken yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ocr_inference.errors import PublicError
from ocr_inference.shares import Shares

_RETRY_S = 10


class Untaken:
    """Clients have shares of `max_bytes`: one that takes none of its answers leaves room for
    others. It is exceeded by the answers that are being written when it is reached."""

    def __init__(self, max_bytes: int) -> None:
        self._shares = Shares(max_bytes)
        self._taken = asyncio.Event()

    def check(self, client: str) -> None:
        """Before work is done whose answer would not be taken: `PublicError` 429
        too_many_answers."""
        if not self._shares.fits(client, 1):
            raise PublicError(
                429,
                "too_many_answers",
                f"{self._shares.held(client)} bytes of answers to this client are not taken yet.",
                retry_after=_RETRY_S,
            )

    async def room(self, client: str, deadline: float) -> None:
        """Until there is some. `deadline` is on the monotonic clock: then as `check`."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                while not self._shares.fits(client, 1):
                    await self._taken.wait()
        except TimeoutError:
            self.check(client)

    @contextmanager
    def holding(self, client: str, count: int) -> Iterator[None]:
        """An answer of so many bytes, until it is taken or given up."""
        self._shares.add(client, count)
        try:
            yield
        finally:
            self._shares.add(client, -count)
            taken, self._taken = self._taken, asyncio.Event()
            taken.set()
