"""What a form asks for, and the answer with what was kept of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from typing import Any

from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.reading.request import Reading, ReadRequest
from ocr_inference.results.answer import Answer, about_reading, document
from ocr_inference.results.form import OcrForm
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sinks.folder import FolderSink
from ocr_inference.sinks.s3 import S3Sink
from ocr_inference.sources.file import Document


def read_request(
    form: OcrForm, document: Document, client: str, deadline: float, fresh: bool, **more: Any
) -> ReadRequest:
    """What `form` asks for; `more` are fields of the request that no form has."""
    return ReadRequest(
        client=client,
        document=document,
        deadline=deadline,
        pages=form.pages,
        dpi=form.dpi,
        languages=form.languages,
        task=form.task,
        pdf_mode=form.pdf_mode,
        min_confidence=form.min_confidence,
        fresh=fresh,
        **more,
    )


class OcrService:
    def __init__(self, s3: S3Sink, output: FolderSink, metrics: Metrics) -> None:
        self._s3 = s3
        self._sinks: dict[str, S3Sink | FolderSink] = {"s3": s3, "output": output}
        self._metrics = metrics

    def check(self, form: OcrForm, longest_s: float) -> None:
        """Refuse what cannot be done before any work is. `longest_s` is what a request like this
        one may take: `PublicError` 422 s3_not_configured, invalid_field."""
        if form.save_to_s3 in ("true", "required") and not self._s3.configured:
            raise PublicError(422, "s3_not_configured", "save_to_s3: no S3 is configured here.")
        if form.timeout_s is not None and form.timeout_s > longest_s:
            raise PublicError(
                422,
                "invalid_field",
                f"timeout_s: at most {longest_s:g} on this server.",
                field="timeout_s",
            )

    async def answer(self, reading: Reading, form: OcrForm, model: str, total_ms: float) -> Answer:
        """The answer, which says where it is kept when it is."""
        about = about_reading(reading, self._metrics.engine, model, total_ms)
        answer = Answer(about, reading.pages, frozenset(form.include))
        if form.save_to_s3 == "false":
            return answer
        for name, sink in self._sinks.items():
            if sink.configured:
                await self._store(name, sink, answer, reading, form)
        return answer

    async def _store(
        self,
        name: str,
        sink: S3Sink | FolderSink,
        answer: Answer,
        reading: Reading,
        form: OcrForm,
    ) -> None:
        request = reading.request
        kept = await asyncio.to_thread(document, answer, reading)
        remaining = request.deadline - time.monotonic()
        try:
            stored = await sink.store(request.identifier, request.created, kept, remaining)
        except StoreFailed as error:
            if form.save_to_s3 == "required":
                raise PublicError(502, f"{name}_failed", str(error)) from error
            answer.about["warnings"].append({"code": f"{name}_failed", "message": str(error)})
        else:
            answer.about[name] = asdict(stored)
