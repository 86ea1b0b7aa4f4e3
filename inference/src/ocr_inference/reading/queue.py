"""Which page is read next, and how many may wait.

Admission counts pages, never requests: a hundred pages in one file are a hundred pages.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_inference.engine.supervisor import RawPage
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import Task

LONGEST_RETRY_AFTER_S = 300
_WEIGHT = 0.2
"""Of the newest page in the running mean: the rate follows a change within about ten pages."""


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


class Admission:
    """Bounds the pages that wait or run. One counts as soon as a request is let in: its upload
    needs room too, before its pages can be counted."""

    def __init__(self, max_pages: int) -> None:
        self._max_pages = max_pages
        self._seconds_per_page = 1.0
        self._measured = False
        self.pages = 0

    def admit(self) -> Ticket:
        self._take(1)
        return Ticket(self)

    def note(self, seconds: float) -> None:
        """A page took so long on the engine."""
        if self._measured:
            self._seconds_per_page += _WEIGHT * (seconds - self._seconds_per_page)
        else:
            self._seconds_per_page, self._measured = seconds, True

    @property
    def seconds_per_page(self) -> float | None:
        """The running mean; None before the first page."""
        return self._seconds_per_page if self._measured else None

    def retry_after(self) -> int:
        """Seconds until what waits now is read; spread, so that not all refused return at once."""
        seconds = self.pages * self._seconds_per_page * random.uniform(1.0, 1.25)  # noqa: S311
        return max(1, min(LONGEST_RETRY_AFTER_S, math.ceil(seconds)))

    def _take(self, pages: int) -> None:
        if self.pages + pages > self._max_pages:
            raise PublicError(
                503,
                "queue_full",
                f"{self.pages} pages are waiting and at most {self._max_pages} may.",
                retry_after=self.retry_after(),
            )
        self.pages += pages


class Ticket:
    """A request's share of the queue, which shrinks with its pages. One is kept until `release`:
    what was read stays in memory until it is stored and the answer is made."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = 1

    def cover(self, pages: int) -> None:
        """The document has so many pages."""
        if pages > self._admission._max_pages:
            raise PublicError(
                422,
                "too_many_pages",
                f"{pages} pages are more than the {self._admission._max_pages} that may ever wait.",
            )
        self._admission._take(pages - self._held)
        self._held = pages

    def page_done(self) -> None:
        if self._held > 1:
            self._held -= 1
            self._admission.pages -= 1

    def release(self) -> None:
        self._admission.pages -= self._held
        self._held = 0
