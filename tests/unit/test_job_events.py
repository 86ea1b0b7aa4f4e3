"""What a stream of a job's events asks for: a result is as large as its document was."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from job_world import new

from ocr_inference.api.jobs.events import format_id, job_events
from ocr_inference.jobs.model import JobStatus
from ocr_inference.pipeline.page import Page

PAGES = [Page(number, 10, 10, 200) for number in (1, 2)]


class Jobs:
    """A job that has ended; `live` are its pages that this replica still has."""

    closing = False

    def __init__(self, live: list[Page]) -> None:
        self._live = SimpleNamespace(pages=live) if live else None
        self.loaded = 0

    def live(self, _: str) -> Any:
        return self._live

    def position(self, _: str) -> None:
        return None

    async def find(self, _job: str, _client: str) -> Any:
        return new(status=JobStatus.SUCCEEDED, pages_total=len(PAGES), pages_done=len(PAGES))

    async def result(self, _: Any) -> Any:
        self.loaded += 1
        return SimpleNamespace(pages=PAGES)


@pytest.mark.parametrize(("live", "loads"), [(PAGES, 0), (PAGES[:1], 1), ([], 1)])
def test_a_stream_loads_the_result_only_for_pages_that_it_has_not(
    live: list[Page], loads: int
) -> None:
    jobs: Any = Jobs(live)

    async def stream() -> list[bytes]:
        record = await jobs.find("", "")
        return [part async for part in job_events(jobs, record, "", nullcontext)]

    kinds = [part.splitlines()[0] for part in asyncio.run(stream())]
    assert [kind for kind in kinds if b"page" in kind] == [b"event: page"] * len(PAGES), kinds
    assert b"event: done" in kinds
    assert jobs.loaded == loads


def test_a_stream_that_has_sent_every_page_ends_without_the_result() -> None:
    jobs: Any = Jobs([])

    async def stream() -> list[bytes]:
        record = await jobs.find("", "")
        sent = format_id({page.number for page in PAGES})
        return [part async for part in job_events(jobs, record, sent, nullcontext)]

    (only,) = asyncio.run(stream())
    assert b"event: done" in only
    assert jobs.loaded == 0
