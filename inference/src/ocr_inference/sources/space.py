"""Bounds the bytes of uploads on the disk, as the queue bounds the pages.

Fifty megabytes for one page are a few pages' wait and the whole of a small volume: a pod whose
/tmp is over its size limit is evicted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from ocr_inference.errors import PublicError
from ocr_inference.shares import Shares

MAX_REST_BYTES = 256 * 1024
"""What a body may have beside its document: fields, and what surrounds them."""


class UploadSpace:
    """Clients have shares of it: one whose uploads do not come to an end leaves room for others.

    `retry_after` gives the seconds until a refused client should come back.
    """

    def __init__(self, max_bytes: int, retry_after: Callable[[], int]) -> None:
        self.max_bytes = max_bytes
        self._retry_after = retry_after
        self._shares = Shares(max_bytes)

    @property
    def bytes(self) -> int:
        return self._shares.total

    @contextmanager
    def reserve(self, client: str, announced: int) -> Iterator[Reservation]:
        """Room for one upload until its file is gone. `announced` bytes are taken at once, so that
        an upload without room is refused before it is sent: `PublicError` 503 queue_full."""
        held = Reservation(self, client)
        try:
            held.take(announced)
            yield held
        finally:
            self._shares.add(client, -held.bytes)

    def take(self, client: str, count: int, only: bool) -> None:
        """`only`: it is for the one upload of its client, which may be larger than a share in a
        small room, and needs no more than what is free."""
        shares = self._shares
        fits = shares.total + count <= shares.most if only else shares.fits(client, count)
        if not fits:
            raise PublicError(
                503,
                "queue_full",
                f"Uploads of {shares.total} bytes are in work, {shares.held(client)} of them this "
                f"client's; of the {shares.most} there are not {count} left for it.",
                retry_after=self._retry_after(),
            )
        shares.add(client, count)

    def held(self, client: str) -> int:
        return self._shares.held(client)


class Reservation:
    def __init__(self, space: UploadSpace, client: str) -> None:
        self._space = space
        self.client = client
        self.bytes = 0

    def take(self, count: int) -> None:
        only = self._space.held(self.client) == self.bytes
        self._space.take(self.client, count, only)
        self.bytes += count

    async def counted(
        self, body: AsyncIterator[bytes], share: float = 1.0, most: int | None = None
    ) -> AsyncIterator[bytes]:
        """`body`; what comes beyond the announced bytes is taken as it comes. `share` of a byte is
        kept of each, and never more than `most`."""
        received = 0
        async for chunk in body:
            received += len(chunk)
            kept = int(received * share)
            if most is not None:
                kept = min(kept, most)
            if kept > self.bytes:
                self.take(kept - self.bytes)
            yield chunk


def upload_budget(wanted: int, largest: int, free: int) -> int:
    """Bytes of all uploads together: `wanted`, but not more than half of what is free on the disk,
    which pages and others need too; the `largest` allowed upload alone is always let in."""
    return max(largest, min(wanted, free // 2))
