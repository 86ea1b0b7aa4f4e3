"""Takes pages from the queue through a decode child and an engine child.

The next pages are decoded while the engines read. Decoded pages are large (12 MB for A4 at 200
dpi), so only one more than there are engines exists at a time, however many requests wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ocr_inference.engine.decoder import Decoder
from ocr_inference.engine.pool import EnginePool
from ocr_inference.engine.supervisor import EngineSupervisor, EngineUnavailable, RawPage
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.pipeline.page import Task
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.queue import FairQueue, PageOutcome, PageWork
from ocr_inference.workspace import Workspace

log = logging.getLogger("ocr_inference.dispatch")

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


class BlockServer(Protocol):
    """Reads pages with a server that reads blocks; the engines only find them: `vlm.reader`."""

    @property
    def pages(self) -> int:
        """How many pages are worth being read at the same time."""
        ...

    async def read(
        self,
        engines: EnginePool,
        image: RawPage,
        languages: tuple[str, ...],
        task: Task,
        deadline: float,
    ) -> Message:
        """The page's `PageText` as it crosses. Ends soon when it is cancelled."""
        ...


class Dispatcher:
    def __init__(
        self,
        workspace: Workspace,
        decoder: Decoder,
        engines: EnginePool,
        admission: Admission,
        metrics: Metrics,
        server: BlockServer | None = None,
    ) -> None:
        self._workspace = workspace
        self._decoder = decoder
        self._engines = engines
        self._admission = admission
        self._metrics = metrics
        self._queue = FairQueue()
        self._open = 0
        self._server = server
        # One with each engine, one ready for the next. Where a server reads, an engine is with a
        # page for a moment only.
        self._room = asyncio.Semaphore((engines.size if server is None else server.pages) + 1)
        engines.on_grown = self._room.release
        self._decoded: asyncio.Queue[_Decoded] = asyncio.Queue()

    def put(self, work: PageWork) -> None:
        self._open += 1
        work.outcome.add_done_callback(self._close)
        self._queue.put(work)

    def _close(self, _: asyncio.Future[PageOutcome]) -> None:
        self._open -= 1

    @property
    def _readers(self) -> int:
        """How many engines have a page now, or will in a moment."""
        return max(1, min(self._engines.ready, self._open))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._decode_pages(group))
            group.create_task(self._read_pages(group))

    async def _decode_pages(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._room.acquire()
            work = await self._queue.get()
            group.create_task(self._decode(work), context=work.context)

    async def _decode(self, work: PageWork) -> None:
        out = self._workspace.new_path(".bgr")
        began = time.monotonic()
        try:
            if work.pdf_mode != "ocr" and await self._take_own_text(work, out, began):
                self._room.release()
                return
            image = await self._decoder.render(
                work.client, work.path, work.number, work.dpi, out, work.deadline
            )
        except Exception as error:
            _fail(work, error)
            if (given_up := self._decoder.given_up(work.path)) is not None:
                # At once, and not each in its turn.
                for other in self._queue.withdraw(work.client, work.request):
                    _fail(other, given_up)
            out.unlink(missing_ok=True)
            self._room.release()
            return
        work.image = image
        render_s = self._metrics.stage("render", began)
        self._decoded.put_nowait(_Decoded(work, image, began - work.queued_at, render_s))

    async def _take_own_text(self, work: PageWork, out: Path, began: float) -> bool:
        """Whether the page has its text from the PDF and need not be read."""
        found = await self._decoder.own_text(
            work.client, work.path, work.number, work.dpi, work.pdf_mode == "text", work.deadline
        )
        if found["text"] is None:
            return False
        if not work.outcome.done():
            work.image = RawPage(
                out, found["height"], found["width"], found["dpi"], found["rotation"]
            )
            took = time.monotonic() - began
            work.outcome.set_result(
                PageOutcome(work.image, found["text"], began - work.queued_at, took, 0.0)
            )
        return True

    async def _read_pages(self, group: asyncio.TaskGroup) -> None:
        while True:
            decoded = await self._decoded.get()
            if self._server is not None:
                reading = self._read_by_server(self._server, decoded)
                group.create_task(reading, context=decoded.work.context)
                continue
            engine = await self._engine_for(decoded.work)
            if engine is None:
                self._tidy(decoded)
            else:
                group.create_task(self._read_with(engine, decoded), context=decoded.work.context)

    async def _read_with(self, engine: EngineSupervisor, decoded: _Decoded) -> None:
        try:
            await self._read(engine, decoded)
        except EngineUnavailable:
            self._decoded.put_nowait(decoded)
            return
        except Exception as error:
            _fail(decoded.work, error)
        finally:
            self._engines.give_back(engine)
        self._tidy(decoded)

    async def _read_by_server(self, server: BlockServer, decoded: _Decoded) -> None:
        try:
            await self._settle(decoded, self._call_server(server, decoded))
        except Exception as error:
            _fail(decoded.work, error)
        finally:
            self._tidy(decoded)

    async def _call_server(self, server: BlockServer, decoded: _Decoded) -> Message:
        work, now = decoded.work, time.monotonic()
        deadline = max(now + SHORTEST_CALL_S, work.deadline)
        reading = asyncio.create_task(
            server.read(self._engines, decoded.image, work.languages, work.task, deadline)
        )
        try:
            if await _while_wanted(work, reading, deadline - now):
                return reading.result()
        finally:
            reading.cancel()
            await asyncio.wait({reading})
        raise PublicError(
            504, "deadline_exceeded", "The VLM server did not read this page before its deadline."
        )

    def _tidy(self, decoded: _Decoded) -> None:
        decoded.image.path.unlink(missing_ok=True)
        self._room.release()

    async def _read(self, engine: EngineSupervisor, decoded: _Decoded) -> None:
        within = call_limit(decoded.work.deadline - time.monotonic(), self._pace)
        await self._settle(decoded, self._call(engine, decoded, within))

    async def _settle(self, decoded: _Decoded, reading: Awaitable[Message]) -> None:
        work, began = decoded.work, time.monotonic()
        self._metrics.queue_wait.observe(decoded.queue_s)
        with self._metrics.inflight_pages.track_inprogress():
            text = await reading
        read_s = self._metrics.stage("read", began)
        self._admission.note(read_s)
        if not work.outcome.done():
            work.outcome.set_result(
                PageOutcome(decoded.image, text, decoded.queue_s, decoded.render_s, read_s)
            )

    @property
    def _pace(self) -> float | None:
        return self._admission.seconds_per_page

    async def _call(self, engine: EngineSupervisor, decoded: _Decoded, within: float) -> Message:
        work = decoded.work
        limited_by_pace = within < work.deadline - time.monotonic() - SHORTEST_CALL_S
        reading = asyncio.ensure_future(
            engine.read(decoded.image, work.languages, within, work.task, self._readers)
        )
        if not await _while_wanted(work, reading):
            await self._abandon(engine, decoded, reading)
        try:
            return await reading
        except PublicError as error:
            if error.status == 504 and limited_by_pace:
                # So the limit grows when all pages have become as slow as this one.
                self._admission.note(within)
            raise

    async def _abandon(
        self, engine: EngineSupervisor, decoded: _Decoded, reading: asyncio.Future[Message]
    ) -> None:
        """Nobody wants this page any more. An engine that can, stops when the image is gone; a
        child that goes on for longer than another one takes to load, is replaced."""
        decoded.image.path.unlink(missing_ok=True)
        await asyncio.wait({reading}, timeout=engine.load_seconds)
        if not reading.done():
            late = time.monotonic() >= decoded.work.deadline
            engine.end_call("hung" if late else "abandoned")

    async def _engine_for(self, work: PageWork) -> EngineSupervisor | None:
        """An engine for this page; None when nobody can wait for the page any more."""
        taking = asyncio.create_task(self._engines.take())
        try:
            if await _while_wanted(work, taking, max(0.0, work.deadline - time.monotonic())):
                engine = taking.result()
                if not work.outcome.done():
                    return engine
                self._engines.give_back(engine)
                return None
        finally:
            taking.cancel()
        _fail(work, PublicError(504, "deadline_exceeded", "The engine was not ready in time."))
        return None


def call_limit(remaining: float, seconds_per_page: float | None) -> float:
    """Seconds for one page. Before one was measured a slow engine cannot be told from a hung one,
    so the first page has all that its request has left."""
    if seconds_per_page is not None:
        remaining = min(remaining, max(LEAST_PAGE_LIMIT_S, PAGE_LIMIT_FACTOR * seconds_per_page))
    return max(SHORTEST_CALL_S, remaining)


async def _while_wanted(
    work: PageWork, doing: asyncio.Future[Any], within: float | None = None
) -> bool:
    """Wait until it is done, nobody waits for the page any more, or so many seconds are over: the
    first says True, the others leave it as it is."""
    either: set[asyncio.Future[Any]] = {doing, work.outcome}
    await asyncio.wait(either, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    return doing.done()


def _fail(work: PageWork, error: Exception) -> None:
    if not isinstance(error, PublicError):
        log.error("page failed", exc_info=error)
        error = PublicError(502, "engine_error", "The page failed by an internal error.")
    if not work.outcome.done():
        work.outcome.set_exception(error)
