"""A job as server-sent events: its states, its pages as they are read, its end.

The ID of an event names the pages that were sent so far, as in `1-3,7`: a client that comes back
with it, on whichever replica, gets the others, in whatever order they were read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing

from ocr_inference.api.jobs.schema import job_body
from ocr_inference.errors import PublicError
from ocr_inference.jobs.model import JobRecord
from ocr_inference.jobs.service import Jobs
from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.pipeline.format import page_body
from ocr_inference.pipeline.page import Page

HEARTBEAT_S = 15.0
"""A silent stream is closed by most proxies after a minute."""

_LONGEST_ID = 8192
_MOST_PAGES = 100_000

Turn = Callable[[], AbstractAsyncContextManager[None]]
"""What is held while something large is sent. Raises `PublicError` 429 too_many_answers."""


async def job_events(
    jobs: Jobs,
    record: JobRecord,
    last_id: str,
    turn: Turn,
) -> AsyncGenerator[bytes, None]:
    """The stream's parts. Each page has its `turn`, until the client has taken it.

    It ends with the job, or without `done` when this server is closing or the client takes too
    little: the client then asks again, here or another replica.
    """
    sent = parse_id(last_id)
    include = frozenset(record.form.include)
    told = ""
    while True:
        # What was read is counted before the record that tells of it.
        known = _count(jobs, record.id)
        record = await jobs.find(record.id, record.client)
        state = job_body(record, jobs.position(record.id)).model_dump_json()
        if state != told and not record.finished:
            yield _event("state", format_id(sent), state)
            told = state
        try:
            async with aclosing(_pages(jobs, record, sent, include, turn)) as events:
                async for event in events:
                    yield event
        except PublicError as error:
            if error.code != "too_many_answers":
                raise
            return
        if record.finished:
            yield _event("done", format_id(sent), state)
            return
        if jobs.closing:
            return
        if known == _count(jobs, record.id):
            async for beat in _until(jobs, record.id):
                yield beat


async def _pages(
    jobs: Jobs,
    record: JobRecord,
    sent: set[int],
    include: frozenset[str],
    turn: Turn,
) -> AsyncGenerator[bytes, None]:
    """What was read and not sent. A stream that has kept up does not load the result, and one that
    is not taken holds no page of a job that is over."""
    while (page := _unsent(jobs, record.id, sent)) is not None:
        sent.add(page.number)
        async with turn():
            event = await asyncio.to_thread(_page_event, page, sent, include)
            del page
            yield event
            del event
    if record.has_result and len(sent) < record.pages_total:
        async with turn():
            for page in (await jobs.result(record)).pages:
                if page.number not in sent:
                    sent.add(page.number)
                    yield await asyncio.to_thread(_page_event, page, sent, include)


def _count(jobs: Jobs, job: str) -> int:
    live = jobs.live(job)
    return 0 if live is None else len(live.pages)


def _unsent(jobs: Jobs, job: str, sent: set[int]) -> Page | None:
    live = jobs.live(job)
    pages = () if live is None else live.pages
    return next((page for page in pages if page.number not in sent), None)


async def _until(jobs: Jobs, job: str) -> AsyncIterator[bytes]:
    """Beats while nothing happens."""
    changing = asyncio.ensure_future(jobs.next_change(job))
    try:
        while not (await asyncio.wait({changing}, timeout=HEARTBEAT_S))[0]:
            yield b": still here\n\n"
    finally:
        changing.cancel()


def _page_event(page: Page, sent: Iterable[int], include: frozenset[str]) -> bytes:
    return _event("page", format_id(sent), to_json(page_body(page, include)))


def _event(kind: str, identifier: str, data: str) -> bytes:
    # JSON has no line breaks of its own: one line of data is enough.
    return f"event: {kind}\nid: {identifier}\ndata: {data}\n\n".encode()


def format_id(pages: Iterable[int]) -> str:
    """Page numbers as in `1-3,7`; `0` for none."""
    ranges: list[list[int]] = []
    for number in sorted(pages):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    told = (str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return ",".join(told) or "0"


def parse_id(text: str) -> set[int]:
    """The pages that an ID names. Anything else than ours names none: they are all sent."""
    pages: set[int] = set()
    if len(text) > _LONGEST_ID:
        return pages
    with contextlib.suppress(ValueError):
        for part in text.split(","):
            first, _, last = part.partition("-")
            begin, end = int(first), int(last or first)
            if len(pages) + end - begin > _MOST_PAGES:
                return set()
            pages.update(range(begin, end + 1))
        return pages - {0}
    return set()
