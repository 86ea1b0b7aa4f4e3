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
from ocr_inference.results.images import ImageCutter
from ocr_inference.sinks.base import StoreFailed, result_key
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
    def __init__(
        self, s3: S3Sink, output: FolderSink, images: ImageCutter, metrics: Metrics
    ) -> None:
        self._s3 = s3
        self._sinks: dict[str, S3Sink | FolderSink] = {"s3": s3, "output": output}
        self._images = images
        self._metrics = metrics

    def check(self, form: OcrForm, longest_s: float) -> None:
        """Refuse what cannot be done before any work is. `longest_s` is what a request like this
        one may take: `PublicError` 422 s3_not_configured, s3_prefix_not_allowed, invalid_field."""
        self._check_s3(form)
        if form.timeout_s is not None and form.timeout_s > longest_s:
            raise _invalid("timeout_s", f"at most {longest_s:g} on this server")

    async def answer(self, reading: Reading, form: OcrForm, model: str, total_ms: float) -> Answer:
        """The answer, which says where it is kept when it is."""
        about = about_reading(reading, self._metrics.engine, model, total_ms)
        answer = Answer(about, reading.pages, frozenset(form.include))
        if form.save_to_s3 == "false":
            return answer
        for name, sink in self._sinks.items():
            if sink.configured:
                request = reading.request
                answer = await self._images.added(
                    answer, request.document, request.client, request.deadline
                )
                await self._store(name, sink, answer, reading, form)
        return answer

    async def add_link(self, about: dict[str, Any], form: OcrForm) -> None:
        """Put a link to what was kept, where one was asked for, into an answer that is sent now.
        Not into one that is kept: the link is worth a key."""
        # The administrator may have changed the limit since a job was sent.
        seconds = min(form.s3_presign_s or 0, self._s3.longest_link_s)
        if not seconds or "s3" not in about:
            return
        try:
            link = await self._s3.link(about["s3"]["key"], seconds)
        except StoreFailed as error:
            about["warnings"].append({"code": "s3_failed", "message": str(error)})
        else:
            about["s3"] |= asdict(link)

    def _check_s3(self, form: OcrForm) -> None:
        fields = {"s3_prefix": form.s3_prefix, "s3_presign_s": form.s3_presign_s}
        wanted = [name for name, value in fields.items() if value is not None]
        if form.save_to_s3 in ("true", "required"):
            wanted.append("save_to_s3")
        if wanted and not self._s3.configured:
            raise PublicError(422, "s3_not_configured", f"{wanted[0]}: no S3 is configured here.")
        if wanted and form.save_to_s3 == "false":
            raise _invalid(wanted[0], "nothing is kept with save_to_s3=false")
        if form.s3_prefix and not form.s3_prefix.startswith(self._s3.allowed_prefixes):
            raise PublicError(
                422, "s3_prefix_not_allowed", "s3_prefix: not below one that is allowed here."
            )
        longest_s = self._s3.longest_link_s
        if form.s3_presign_s is not None and form.s3_presign_s > longest_s:
            reason = f"at most {longest_s} on this server" if longest_s else "no links are given"
            raise _invalid("s3_presign_s", reason)

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
        key = (form.s3_prefix or "") + result_key(request.identifier, request.created)
        try:
            stored = await sink.store(key, kept, remaining)
        except StoreFailed as error:
            if form.save_to_s3 == "required":
                raise PublicError(502, f"{name}_failed", str(error)) from error
            answer.about["warnings"].append({"code": f"{name}_failed", "message": str(error)})
        else:
            answer.about[name] = asdict(stored)


def _invalid(name: str, reason: str) -> PublicError:
    return PublicError(422, "invalid_field", f"{name}: {reason}.", field=name)
