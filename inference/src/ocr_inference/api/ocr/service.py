"""From an upload to an answer: inspect, admit, read every page, put the answer together."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ocr_inference.api.ocr.answer import Answer, document, make_answer
from ocr_inference.api.ocr.schema import OcrForm
from ocr_inference.engine.decoder import Decoder, Inspection
from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.pipeline.page import Block, ConfidenceSource, Page, PageStatus, PageText
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.queue import PageOutcome, PageWork, Ticket
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sinks.folder import FolderSink
from ocr_inference.sinks.s3 import S3Sink
from ocr_inference.sources.upload import Upload

_page_text_type = TypeAdapter(PageText)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: pages in order, one error for each that failed, times in milliseconds."""

    identifier: str
    created: datetime
    found: Inspection
    pages: tuple[Page, ...]
    errors: tuple[PublicError, ...]
    decode_ms: float
    queue_ms: float
    deadline: float
    """Of the request, on the monotonic clock."""

    def total(self, timing: str) -> float:
        return sum(page.timings_ms.get(timing, 0.0) for page in self.pages)


class OcrService:
    def __init__(
        self,
        decoder: Decoder,
        dispatcher: Dispatcher,
        s3: S3Sink,
        output: FolderSink,
        metrics: Metrics,
        longest_timeout: float,
    ) -> None:
        self._decoder = decoder
        self._dispatcher = dispatcher
        self._s3 = s3
        self._sinks: dict[str, S3Sink | FolderSink] = {"s3": s3, "output": output}
        self._metrics = metrics
        self._longest_timeout = longest_timeout

    def check(self, form: OcrForm) -> None:
        """Refuse what cannot be done before any work is."""
        if form.save_to_s3 in ("true", "required") and not self._s3.configured:
            raise PublicError(422, "s3_not_configured", "save_to_s3: no S3 is configured here.")
        if form.timeout_s is not None and form.timeout_s > self._longest_timeout:
            raise PublicError(
                422,
                "invalid_field",
                f"timeout_s: at most {self._longest_timeout:g} on this server.",
                field="timeout_s",
            )

    async def read(
        self, upload: Upload, form: OcrForm, client: str, ticket: Ticket, arrived: float
    ) -> Reading:
        """The request's time runs from when it `arrived`: a drain waits no longer for one whose
        upload was slow."""
        deadline = arrived + (form.timeout_s or self._longest_timeout)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await self._read(upload, form, client, ticket, deadline)
        except TimeoutError:
            self._metrics.cancelled.labels("deadline").inc()
            raise PublicError(
                504, "deadline_exceeded", "The document was not read before its deadline."
            ) from None

    async def _read(
        self, upload: Upload, form: OcrForm, client: str, ticket: Ticket, deadline: float
    ) -> Reading:
        identifier, began = uuid.uuid4().hex, time.monotonic()
        found = await self._decoder.inspect(client, upload.path, form.pages, deadline)
        ticket.cover(len(found.page_numbers))
        decode_ms = (time.monotonic() - began) * 1000
        works = _works(found, identifier, upload, form, client, deadline)
        outcomes = await self._outcomes(works, ticket)
        errors = tuple(one for one in outcomes if isinstance(one, PublicError))
        for outcome in outcomes:
            status = "failed" if isinstance(outcome, PublicError) else "ok"
            self._metrics.pages.labels(self._metrics.engine, status).inc()
        if len(errors) == len(outcomes):
            raise _nothing_read(errors)
        return Reading(
            identifier=identifier,
            created=datetime.now(UTC),
            found=found,
            pages=await asyncio.to_thread(_pages, works, outcomes, form),
            errors=errors,
            decode_ms=decode_ms,
            queue_ms=_first_wait(outcomes),
            deadline=deadline,
        )

    async def _outcomes(
        self, works: Sequence[PageWork], ticket: Ticket
    ) -> list[PageOutcome | PublicError]:
        futures = [work.outcome for work in works]
        try:
            for work in works:
                work.outcome.add_done_callback(lambda _done: ticket.page_done())
                self._dispatcher.put(work)
            await asyncio.wait(futures)
        finally:
            # The client is gone or the time is up: what still waits is not begun.
            for future in futures:
                future.cancel()
        return [_outcome(future) for future in futures]

    async def answer(
        self, reading: Reading, upload: Upload, form: OcrForm, model: str, total_ms: float
    ) -> Answer:
        """The answer, which says where it is kept when it is."""
        about = _about(reading, upload, self._metrics.engine, model, total_ms)
        answer = await asyncio.to_thread(make_answer, reading.pages, form, about)
        if form.save_to_s3 == "false":
            return answer
        for name, sink in self._sinks.items():
            if sink.configured:
                await self._store(name, sink, answer, reading, upload, form)
        return answer

    async def _store(
        self,
        name: str,
        sink: S3Sink | FolderSink,
        answer: Answer,
        reading: Reading,
        upload: Upload,
        form: OcrForm,
    ) -> None:
        kept = await asyncio.to_thread(document, answer, reading.created, upload, reading.found)
        remaining = reading.deadline - time.monotonic()
        try:
            stored = await sink.store(reading.identifier, reading.created, kept, remaining)
        except StoreFailed as error:
            if form.save_to_s3 == "required":
                raise PublicError(502, f"{name}_failed", str(error)) from error
            answer.about["warnings"].append({"code": f"{name}_failed", "message": str(error)})
        else:
            answer.about[name] = asdict(stored)


def _works(
    found: Inspection,
    identifier: str,
    upload: Upload,
    form: OcrForm,
    client: str,
    deadline: float,
) -> list[PageWork]:
    return [
        PageWork(
            client=client,
            request=identifier,
            path=upload.path,
            number=number,
            dpi=form.dpi,
            languages=form.languages,
            queued_at=time.monotonic(),
            deadline=deadline,
            outcome=asyncio.get_running_loop().create_future(),
        )
        for number in found.page_numbers
    ]


def _about(
    reading: Reading, upload: Upload, engine: str, model: str, total_ms: float
) -> dict[str, Any]:
    times = {
        "queue_ms": reading.queue_ms,
        "decode_ms": reading.decode_ms,
        "render_ms": reading.total("render_ms"),
        "infer_ms": reading.total("infer_ms"),
        "total_ms": total_ms,
    }
    return {
        "id": reading.identifier,
        "status": "partial" if reading.errors else "success",
        "engine": engine,
        "model": model,
        "usage": {"pages": len(reading.pages), "bytes": upload.size},
        "timings": {name: round(value, 1) for name, value in times.items()},
    }


def _outcome(future: asyncio.Future[PageOutcome]) -> PageOutcome | PublicError:
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, PublicError):
        return error
    raise error


def _nothing_read(errors: Sequence[PublicError]) -> PublicError:
    """What the client can act on, its own mistake or a page out of time, is said as such;
    everything else is the engine's."""
    first = errors[0]
    if first.status < 500 or first.status in (503, 504):
        return first
    return PublicError(502, "engine_error", first.message, pages=len(errors))


def _first_wait(outcomes: Sequence[PageOutcome | PublicError]) -> float:
    waits = [one.queue_s for one in outcomes if isinstance(one, PageOutcome)]
    return min(waits, default=0.0) * 1000


def _pages(
    works: Sequence[PageWork], outcomes: Sequence[PageOutcome | PublicError], form: OcrForm
) -> tuple[Page, ...]:
    return tuple(
        _page(work.number, outcome, form) for work, outcome in zip(works, outcomes, strict=True)
    )


def _page(number: int, outcome: PageOutcome | PublicError, form: OcrForm) -> Page:
    if isinstance(outcome, PublicError):
        return Page(number, 0, 0, form.dpi, PageStatus.FAILED, error=outcome.message)
    image = outcome.image
    return Page(
        number=number,
        width=image.width,
        height=image.height,
        dpi=image.dpi,
        text=confident(_page_text(outcome.text), form.min_confidence),
        timings_ms={
            "render_ms": round(outcome.render_s * 1000, 1),
            "infer_ms": round(outcome.read_s * 1000, 1),
        },
    )


def _page_text(crossed: dict[str, Any]) -> PageText:
    try:
        return _page_text_type.validate_python(crossed)
    except ValidationError:
        # Without the cause: it quotes the document, and this is logged.
        raise PublicError(502, "engine_error", "The engine's answer is malformed.") from None


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
