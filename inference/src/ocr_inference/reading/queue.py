"""Which page is read next."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocr_inference.engine.supervisor import RawPage
from ocr_inference.pipeline.page import PdfMode, Task


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """A page that was read: its image, the engine's `PageText` as it crossed, and its times."""

    image: RawPage
    text: dict[str, Any]
    queue_s: float
    render_s: float
    read_s: float


@dataclass(slots=True, eq=False)
class PageWork:
    """One page to read. `deadline` and `queued_at` are on the monotonic clock."""

    client: str
    request: str
    path: Path
    number: int
    dpi: int
    languages: tuple[str, ...]
    queued_at: float
    deadline: float
    outcome: asyncio.Future[PageOutcome]
    task: Task = "parse"
    pdf_mode: PdfMode = "ocr"
    image: RawPage | None = None
    """Known from when it was rendered; the file is gone when the page was read."""
    context: Context = field(default_factory=copy_context)
    """Of the request, for what is done for it elsewhere: its log lines have its id."""


class FairQueue:
    """A turn for every client, within a client a turn for every request, pages in order.

    So a file of a hundred pages delays the single page behind it by one page, not by a hundred.
    """

    def __init__(self) -> None:
        self._clients: OrderedDict[str, OrderedDict[str, deque[PageWork]]] = OrderedDict()
        self._filled = asyncio.Event()

    def put(self, work: PageWork) -> None:
        requests = self._clients.setdefault(work.client, OrderedDict())
        requests.setdefault(work.request, deque()).append(work)
        self._filled.set()

    async def get(self) -> PageWork:
        """The next page that somebody still waits for."""
        while True:
            while (work := self._pop()) is None:
                self._filled.clear()
                await self._filled.wait()
            if not work.outcome.done():
                return work

    def withdraw(self, client: str, request: str) -> Sequence[PageWork]:
        """The pages of this request that were not taken yet; they will not be."""
        requests = self._clients.get(client, OrderedDict())
        pages = requests.pop(request, deque())
        if not requests:
            self._clients.pop(client, None)
        return pages

    def _pop(self) -> PageWork | None:
        if not self._clients:
            return None
        client, requests = self._clients.popitem(last=False)
        request, pages = requests.popitem(last=False)
        work = pages.popleft()
        if pages:
            requests[request] = pages
        if requests:
            self._clients[client] = requests
        return work
