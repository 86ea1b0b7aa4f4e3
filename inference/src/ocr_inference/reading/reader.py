"""From a document to its pages: inspect, admit, read every page. The same for every route."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ocr_inference.engine.decoder import Decoder, Inspection
from ocr_inference.engine.supervisor import RawPage
from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.pipeline.magic import PDF
from ocr_inference.pipeline.page import (
    Block,
    ConfidenceSource,
    Page,
    PageStatus,
    PageText,
    PdfMode,
    Task,
    Tokens,
)
from ocr_inference.reading.admission import Ticket
from ocr_inference.reading.cache import PageCache, PageKey
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.queue import PageOutcome, PageWork
from ocr_inference.reading.rates import PageRates
from ocr_inference.reading.request import Reading, ReadRequest, Watcher

_page_text_type = TypeAdapter(PageText)
_IGNORE = Watcher()


class Reader:
    def __init__(
        self,
        decoder: Decoder,
        dispatcher: Dispatcher,
        cache: PageCache,
        metrics: Metrics,
        rates: PageRates,
        tasks: tuple[Task, ...],
    ) -> None:
        self._decoder = decoder
        self._dispatcher = dispatcher
        self._cache = cache
        self._metrics = metrics
        self._rates = rates
        self._tasks = tasks

    async def read(
        self, request: ReadRequest, ticket: Ticket, watcher: Watcher = _IGNORE
    ) -> Reading:
        """Read within the request's deadline. Cancelled, it stops the work.

        Raises `PublicError`: what is wrong with the document, 422 for what cannot be done, 503
        queue_full, 504 deadline_exceeded, and the pages' own error where every page failed.
        """
        self.check(request.task)
        try:
            async with asyncio.timeout(request.deadline - time.monotonic()):
                return await self._read(request, ticket, watcher)
        except TimeoutError:
            self._metrics.cancelled.labels("deadline").inc()
            raise PublicError(
                504, "deadline_exceeded", "The document was not read before its deadline."
            ) from None

    def check(self, task: Task) -> None:
        """Refuse what this engine cannot do: `PublicError` 422 unsupported_option."""
        if task not in self._tasks:
            raise PublicError(
                422,
                "unsupported_option",
                f"task: this engine does {', '.join(self._tasks)}, not {task}.",
                field="task",
            )

    async def _read(self, request: ReadRequest, ticket: Ticket, watcher: Watcher) -> Reading:
        began = time.monotonic()
        found = await self._decoder.inspect(
            request.client,
            request.document.path,
            request.pages,
            request.dpi,
            request.deadline,
            request.max_pages,
        )
        ticket.cover(len(found.page_numbers), sum(found.pixels))
        if not request.charged:
            # The first was paid for when the request was let in.
            self._rates.charge(request.client, len(found.page_numbers) - 1)
        watcher.found(found)
        decode_ms = (time.monotonic() - began) * 1000
        results = await self._pages(request, found, ticket, watcher)
        errors = tuple(error for _, error in results if error is not None)
        if len(errors) == len(results):
            raise _nothing_read(errors)
        return Reading(request, found, tuple(page for page, _ in results), errors, decode_ms)

    async def _pages(
        self, request: ReadRequest, found: Inspection, ticket: Ticket, watcher: Watcher
    ) -> list[tuple[Page, PublicError | None]]:
        pdf_mode: PdfMode = request.pdf_mode if found.media_type == PDF else "ocr"

        async def one(number: int, pixels: int) -> tuple[Page, PublicError | None]:
            page, error = await self._page(request, number, pdf_mode)
            if not page.cached:  # those come at once: as many as there are would be in memory
                ticket.page_done(pixels)
            self._metrics.page_read(request.client, page.status)
            watcher.page(page)
            return page, error

        # Begun in this order. Cancelled all together when the client is gone or the time is up:
        # what still waits is then not begun.
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(one(number, pixels))
                for number, pixels in zip(found.page_numbers, found.pixels, strict=True)
            ]
        return [task.result() for task in tasks]

    async def _page(
        self, request: ReadRequest, number: int, pdf_mode: PdfMode
    ) -> tuple[Page, PublicError | None]:
        work = _work(request, number, pdf_mode)

        def begin() -> PageWork:
            work.queued_at = time.monotonic()
            self._dispatcher.put(work)
            return work

        try:
            if request.fresh:
                outcome, cached = await begin().outcome, False
            else:
                outcome, cached = await self._cache.read(_key(request, number, pdf_mode), begin)
            # In a thread: a page of ten thousand words holds the loop longer than a probe likes.
            return await asyncio.to_thread(_read_page, number, outcome, cached, request), None
        except PublicError as error:
            return _failed(request, number, error, work.image)


def _work(request: ReadRequest, number: int, pdf_mode: PdfMode) -> PageWork:
    return PageWork(
        client=request.client,
        request=request.identifier,
        path=request.document.path,
        number=number,
        dpi=request.dpi,
        languages=request.languages,
        task=request.task,
        queued_at=time.monotonic(),
        deadline=request.deadline,
        outcome=asyncio.get_running_loop().create_future(),
        pdf_mode=pdf_mode,
    )


def _key(request: ReadRequest, number: int, pdf_mode: PdfMode) -> PageKey:
    return PageKey(
        request.client,
        request.document.sha256,
        number,
        request.dpi,
        request.languages,
        request.task,
        pdf_mode,
    )


def _read_page(number: int, outcome: PageOutcome, cached: bool, request: ReadRequest) -> Page:
    image, text = outcome.image, _page_text(outcome.text)
    timings = {
        "queue_ms": outcome.queue_s * 1000,
        "render_ms": outcome.render_s * 1000,
        "infer_ms": outcome.read_s * 1000,
    }
    if text.layout_ms is not None:
        # What was kept took no time now.
        timings["layout_ms"] = text.layout_ms if outcome.read_s else 0.0
    if cached and text.tokens is not None:
        text = replace(text, tokens=Tokens(0, 0))
    return Page(
        number=number,
        width=image.width,
        height=image.height,
        dpi=image.dpi,
        text=confident(text, request.min_confidence),
        timings_ms={name: round(value, 1) for name, value in timings.items()},
        cached=cached,
        rotation=image.rotation,
    )


def _failed(
    request: ReadRequest, number: int, error: PublicError, image: RawPage | None = None
) -> tuple[Page, PublicError]:
    """Of its size where that is known."""
    image = image or RawPage(Path(), 0, 0, request.dpi)
    page = Page(
        number,
        image.width,
        image.height,
        image.dpi,
        PageStatus.FAILED,
        error=error.message,
        rotation=image.rotation,
    )
    return page, error


def _page_text(crossed: dict[str, Any]) -> PageText:
    try:
        return _page_text_type.validate_python(crossed)
    except ValidationError:
        # Without the cause: it quotes the document, and this is logged.
        raise PublicError(502, "engine_error", "The engine's answer is malformed.") from None


def _nothing_read(errors: tuple[PublicError, ...]) -> PublicError:
    """What the client can act on, its own mistake or a page out of time, is said as such;
    everything else is the engine's."""
    first = errors[0]
    if first.status < 500 or first.status in (503, 504):
        return first
    return PublicError(502, "engine_error", first.message, pages=len(errors))


def confident(text: PageText, least: float) -> PageText:
    """Without the lines, and the blocks without lines, that the engine is less sure of."""
    if least <= 0 or text.confidence_source is ConfidenceSource.NONE:
        return text
    blocks = tuple(kept for block in text.blocks if (kept := _confident(block, least)) is not None)
    # Markdown that the engine wrote itself would still hold what was left out.
    return text if blocks == text.blocks else replace(text, blocks=blocks, markdown=None)


def _confident(block: Block, least: float) -> Block | None:
    if not block.lines:
        return block if block.confidence >= least else None
    lines = tuple(line for line in block.lines if line.confidence >= least)
    if len(lines) == len(block.lines):
        return block
    return (
        replace(block, lines=lines, text="\n".join(line.text for line in lines)) if lines else None
    )
