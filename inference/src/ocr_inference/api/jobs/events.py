"""A job as server-sent events: its states, its pages as they are read, its end.

The ID of an event names the pages that were sent so far, as in `1-3,7`: a client that comes back
with it, on whichever replica, gets the others, in whatever order they were read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from ocr_inference.api.jobs.schema import job_body
from ocr_inference.jobs.model import JobRecord
from ocr_inference.jobs.service import Jobs
from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.pipeline.format import page_body
from ocr_inference.pipeline.page import Page

HEARTBEAT_S = 15.0
"""A silent stream is closed by most proxies after a minute."""

_LONGEST_ID = 8192
_MOST_PAGES = 100_000


async def job_events(jobs: Jobs, record: JobRecord, last_id: str) -> AsyncIterator[bytes]:
    """The stream's parts. It ends with the job, or without `done` when this server is closing: the
    client then asks again, and another replica answers."""
    sent = parse_id(last_id)
    include = frozenset(record.form.include)
    told = ""
    while True:
        # What was read is taken from before the record that counts it.
        live = jobs.live(record.id)
        pages = list(live.pages) if live is not None else []
        record = await jobs.find(record.id, record.client)
        if not pages and record.has_result:
            pages = list((await jobs.result(record)).pages)
        state = job_body(record, jobs.position(record.id)).model_dump_json()
        if state != told and not record.finished:
            yield _event("state", format_id(sent), state)
            told = state
        for page in pages:
            if page.number not in sent:
                body = await asyncio.to_thread(_page, page, include)
                sent.add(page.number)
                yield _event("page", format_id(sent), body)
        if record.finished:
            yield _event("done", format_id(sent), state)
            return
        if jobs.closing:
            return
        if live is None or len(live.pages) == len(pages):
            async for beat in _until(jobs, record.id):
                yield beat


async def _until(jobs: Jobs, job: str) -> AsyncIterator[bytes]:
    """Beats while nothing happens."""
    changing = asyncio.ensure_future(jobs.next_change(job))
    try:
        while not (await asyncio.wait({changing}, timeout=HEARTBEAT_S))[0]:
            yield b": still here\n\n"
    finally:
        changing.cancel()


def _page(page: Page, include: frozenset[str]) -> str:
    return to_json(page_body(page, include))


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
