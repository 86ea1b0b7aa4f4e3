"""Takes pages from the queue through the decode child and the engine child.

Two loops: the next page is decoded while the engine reads this one. Decoded pages are large (12 MB
for A4 at 200 dpi), so only two exist at a time however many requests wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from ocr_inference.engine.decoder import Decoder, DecoderHung
from ocr_inference.engine.supervisor import EngineSupervisor, RawPage
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.reading.queue import Admission, FairQueue, PageOutcome, PageWork
from ocr_inference.workspace import Workspace

log = logging.getLogger("ocr_inference.dispatch")

DECODED_PAGES = 2
"""One with the engine, one ready for it."""

SHORTEST_CALL_S = 0.1
"""An engine given less time could only fail."""

LEAST_PAGE_LIMIT_S = 30.0
"""However fast pages were so far: the next one may be dense, or the machine busy."""

PAGE_LIMIT_FACTOR = 10.0
"""A page that takes so many times the mean hangs: it must not take the others' time with it."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    work: PageWork
    image: RawPage
    queue_s: float
    render_s: float


class Dispatcher:
    def __init__(
        self,
        workspace: Workspace,
        decoder: Decoder,
        engine: EngineSupervisor,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self._workspace = workspace
        self._decoder = decoder
        self._engine = engine
        self._admission = admission
        self._metrics = metrics
        self._queue = FairQueue()
        self._room = asyncio.Semaphore(DECODED_PAGES)
        self._decoded: asyncio.Queue[_Decoded] = asyncio.Queue()

    def put(self, work: PageWork) -> None:
        self._queue.put(work)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._decode_pages())
            group.create_task(self._read_pages())

    async def _decode_pages(self) -> None:
        while True:
            await self._room.acquire()
            work = await self._queue.get()
            out = self._workspace.new_path(".bgr")
            began = time.monotonic()
            try:
                image = await self._decoder.render(
                    work.client, work.path, work.number, work.dpi, out, work.deadline
                )
            except Exception as error:
                _fail(work, error)
                if isinstance(error, DecoderHung):
                    # Once is enough: meanwhile the documents of all others stand still.
                    for other in self._queue.withdraw(work.client, work.request):
                        _fail(other, error)
                out.unlink(missing_ok=True)
                self._room.release()
                continue
            render_s = self._metrics.stage("render", began)
            self._decoded.put_nowait(_Decoded(work, image, began - work.queued_at, render_s))

    async def _read_pages(self) -> None:
        while True:
            decoded = await self._decoded.get()
            try:
                await self._read(decoded)
            except Exception as error:
                _fail(decoded.work, error)
            finally:
                decoded.image.path.unlink(missing_ok=True)
                self._room.release()

    async def _read(self, decoded: _Decoded) -> None:
        work = decoded.work
        await self._wait_for_engine(work)
        if work.outcome.done():
            return
        began = time.monotonic()
        self._metrics.queue_wait.observe(decoded.queue_s)
        with self._metrics.inflight_pages.track_inprogress():
            text = await self._call(decoded, call_limit(work.deadline - began, self._pace))
        read_s = self._metrics.stage("read", began)
        self._admission.note(read_s)
        if not work.outcome.done():
            work.outcome.set_result(
                PageOutcome(decoded.image, text, decoded.queue_s, decoded.render_s, read_s)
            )

    @property
    def _pace(self) -> float | None:
        return self._admission.seconds_per_page

    async def _call(self, decoded: _Decoded, within: float) -> Message:
        limited_by_pace = within < decoded.work.deadline - time.monotonic() - SHORTEST_CALL_S
        try:
            work = decoded.work
            return await self._engine.read(decoded.image, work.languages, within, work.task)
        except PublicError as error:
            if error.status == 504 and limited_by_pace:
                # So the limit grows when all pages have become as slow as this one.
                self._admission.note(within)
            raise

    async def _wait_for_engine(self, work: PageWork) -> None:
        """Until the engine is there, or nobody can wait for this page any more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(work.deadline - time.monotonic()):
                await self._engine.wait_ready()
                return
        _fail(work, PublicError(504, "deadline_exceeded", "The engine was not ready in time."))


def call_limit(remaining: float, seconds_per_page: float | None) -> float:
    """Seconds for one page. Before one was measured a slow engine cannot be told from a hung one,
    so the first page has all that its request has left."""
    if seconds_per_page is not None:
        remaining = min(remaining, max(LEAST_PAGE_LIMIT_S, PAGE_LIMIT_FACTOR * seconds_per_page))
    return max(SHORTEST_CALL_S, remaining)


def _fail(work: PageWork, error: Exception) -> None:
    if not isinstance(error, PublicError):
        log.error("page failed", exc_info=error)
        error = PublicError(502, "engine_error", "The page failed by an internal error.")
    if not work.outcome.done():
        work.outcome.set_exception(error)
