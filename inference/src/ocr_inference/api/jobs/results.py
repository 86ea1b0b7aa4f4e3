"""The result of a job in the format that is wanted now."""

from __future__ import annotations

import os
import time
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path

from fastapi import Request
from fastapi.responses import Response

from ocr_inference.api.ocr.accept import accepted
from ocr_inference.api.ocr.response import written_response
from ocr_inference.errors import PublicError
from ocr_inference.jobs.model import JobRecord, JobStatus
from ocr_inference.results.answer import Answer
from ocr_inference.results.form import Output
from ocr_inference.results.outputs import needs_document
from ocr_inference.services import Services
from ocr_inference.sources.file import Document


async def result_response(
    request: Request, services: Services, record: JobRecord, output: Output | None
) -> Response:
    """As `POST /ocr` would have answered; `output` is other than what the job was sent with.

    Raises `PublicError`: 409 where there is no result, or not yet.
    """
    if not record.has_result:
        raise no_result(record)
    deadline = time.monotonic() + services.settings.sync_timeout_s
    await services.untaken.room(record.client, deadline)
    wanted = output or record.form.output or accepted(request.headers.get("accept", ""))
    result = await services.jobs.result(record)
    await services.ocr.add_link(result.about, record.form)
    answer = Answer(result.about, result.pages, frozenset(record.form.include))
    sent = services.jobs.document(record) if needs_document(wanted, answer) else _by_name(record)
    async with sent as document:
        written = await services.outputs.write(wanted, answer, document, record.client, deadline)
    return written_response(written, result.about, services, record.client)


def _by_name(record: JobRecord) -> AbstractAsyncContextManager[Document]:
    """For the formats that are made from the pages alone."""
    sent = record.input
    return nullcontext(Document(Path(os.devnull), sent.name, sent.size, sent.sha256))


def no_result(record: JobRecord) -> PublicError:
    if record.error is not None:
        error = record.error
        return PublicError(
            409,
            "job_failed",
            f"The job failed: {error.message}",
            error={"code": error.code, "message": error.message, **error.details},
        )
    if record.status in (JobStatus.CANCELLED, JobStatus.CANCELLING):
        return PublicError(409, "job_cancelled", "The job was cancelled.")
    return PublicError(409, "job_not_finished", "The job is not finished yet.", retry_after=1)
