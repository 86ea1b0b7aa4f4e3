"""Pages that were read before, and pages that are being read now.

The answers of both are a client's own: whether somebody else has sent the same page must not show
in how fast the answer comes.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from prometheus_client import Counter

from ocr_inference.pipeline.page import PdfMode, Task
from ocr_inference.reading.queue import PageOutcome, PageWork

ENTRY_BYTES = 1536
"""What a page takes beside its JSON, measured: key, times and the table's place. An empty page has
forty bytes of JSON."""


@dataclass(frozen=True, slots=True)
class PageKey:
    """All that a page's text depends on, but for the model, which is the same for the process."""

    client: str
    sha256: str
    number: int
    dpi: int
    languages: tuple[str, ...]
    task: Task
    pdf_mode: PdfMode


class PageCache:
    """At most `max_bytes` of memory for pages as JSON; the ones not asked for longest go first."""

    def __init__(self, max_bytes: int, hits: Counter) -> None:
        self._max_bytes = max_bytes
        self._hits = hits
        self._kept: OrderedDict[PageKey, tuple[PageOutcome, bytes]] = OrderedDict()
        self._bytes = 0
        self._running: dict[PageKey, asyncio.Future[PageOutcome]] = {}

    async def read(self, key: PageKey, begin: Callable[[], PageWork]) -> tuple[PageOutcome, bool]:
        """The page, and whether it had not to be read for this request. `begin` puts it into the
        queue. Raises what the page's own reading raises."""
        while True:
            if (kept := await self._find(key)) is not None:
                self._hits.labels("kept").inc()
                return kept, True
            running = self._running.get(key)
            if running is None:
                return await self._read(key, begin().outcome), False
            # Waited for and not awaited: it is not ours to cancel.
            await asyncio.wait({running})
            if not running.cancelled() and (error := running.exception()) is None:
                self._hits.labels("joined").inc()
                return running.result(), True
            if not running.cancelled() and getattr(error, "status", 500) < 500:
                return running.result(), True  # raises: what is wrong is wrong with the page
            # Whoever it was read for has left, had no more time or lost its engine: our turn.

    async def _read(self, key: PageKey, outcome: asyncio.Future[PageOutcome]) -> PageOutcome:
        self._running[key] = outcome
        try:
            read = await outcome
            await self._keep(key, read)
            return read
        finally:
            del self._running[key]

    async def _find(self, key: PageKey) -> PageOutcome | None:
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        outcome, text = self._kept[key]
        # In a thread, as its writing: a page of ten thousand words takes a while.
        read = await asyncio.to_thread(json.loads, text)
        return replace(outcome, text=read, queue_s=0.0, render_s=0.0, read_s=0.0)

    async def _keep(self, key: PageKey, outcome: PageOutcome) -> None:
        if not self._max_bytes or _lacks_blocks(outcome):
            return
        # As bytes: the same page as objects takes ten times the memory, and nobody knows how much.
        text = await asyncio.to_thread(lambda: json.dumps(outcome.text).encode())
        if _size(text) > self._max_bytes or key in self._kept:
            return
        self._kept[key] = (replace(outcome, text={}), text)
        self._bytes += _size(text)
        while self._bytes > self._max_bytes:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(text: bytes) -> int:
    return ENTRY_BYTES + len(text)


def _lacks_blocks(outcome: PageOutcome) -> bool:
    """A block that could not be read now may be read the next time."""
    return any(notice["code"] == "block_failed" for notice in outcome.text.get("notices", ()))
