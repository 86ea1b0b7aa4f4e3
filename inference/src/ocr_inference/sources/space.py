"""Bounds the bytes of uploads on the disk, as the queue bounds the pages.

Fifty megabytes for one page are a few pages' wait and the whole of a small volume: a pod whose
/tmp is over its size limit is evicted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from ocr_inference.errors import PublicError

MAX_REST_BYTES = 256 * 1024
"""What a body may have beside its document: fields, and what surrounds them."""


class UploadSpace:
    """`retry_after` gives the seconds until a refused client should come back."""

    def __init__(self, max_bytes: int, retry_after: Callable[[], int]) -> None:
        self.max_bytes = max_bytes
        self._retry_after = retry_after
        self.bytes = 0

    @contextmanager
    def reserve(self, announced: int) -> Iterator[Reservation]:
        """Room for one upload until its file is gone. `announced` bytes are taken at once, so that
        an upload without room is refused before it is sent: `PublicError` 503 queue_full."""
        held = Reservation(self, announced)
        try:
            yield held
        finally:
            self.bytes -= held.bytes

    def take(self, count: int) -> None:
        if self.bytes + count > self.max_bytes:
            raise PublicError(
                503,
                "queue_full",
                f"Uploads of {self.bytes} bytes are in work; with {count} more they would exceed "
                f"{self.max_bytes}.",
                retry_after=self._retry_after(),
            )
        self.bytes += count


class Reservation:
    def __init__(self, space: UploadSpace, announced: int) -> None:
        space.take(announced)
        self._space = space
        self.bytes = announced

    async def counted(self, body: AsyncIterator[bytes], share: float = 1.0) -> AsyncIterator[bytes]:
        """`body`; what comes beyond the announced bytes is taken as it comes. `share` of a byte is
        kept of each."""
        received = 0
        async for chunk in body:
            received += len(chunk)
            kept = int(received * share)
            if kept > self.bytes:
                self._space.take(kept - self.bytes)
                self.bytes = kept
            yield chunk


def upload_budget(wanted: int, largest: int, free: int) -> int:
    """Bytes of all uploads together: `wanted`, but not more than half of what is free on the disk,
    which pages and others need too; the `largest` allowed upload alone is always let in."""
    return max(largest, min(wanted, free // 2))
