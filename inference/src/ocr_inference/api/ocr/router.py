"""`POST /ocr`: who asks, may they now, read, answer in the wanted format."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from ocr_inference.api.jobs.prefer import respond_async
from ocr_inference.api.jobs.schema import IDEMPOTENCY_KEY, PREFER, Job
from ocr_inference.api.jobs.submit import idempotency_key, submit_job
from ocr_inference.api.ocr.accept import accepted
from ocr_inference.api.ocr.response import CONTENT, written_response
from ocr_inference.api.ocr.schema import OcrAnswer, form_schema, parse_form
from ocr_inference.api.problem import Problem
from ocr_inference.api.work import (
    ERROR_STATUSES,
    admitted,
    announced,
    bearer,
    note_timings,
    receive_form,
    unless_gone,
    wants_fresh,
)
from ocr_inference.results.service import read_request
from ocr_inference.services import Services, services_of

router = APIRouter(tags=["ocr"])


@router.post(
    "/ocr",
    summary="Read a document",
    response_model=OcrAnswer,
    responses={
        202: {"model": Job, "description": "With `Prefer: respond-async`: a job."},
        200: {"content": CONTENT},
        **{status: {"model": Problem} for status in (*ERROR_STATUSES, 409)},
    },
    openapi_extra={"requestBody": form_schema(), "parameters": [PREFER, IDEMPOTENCY_KEY]},
    dependencies=[Depends(bearer)],
)
async def read_document(
    request: Request, services: Annotated[Services, Depends(services_of)]
) -> Response:
    """Read a PNG, JPEG, TIFF, WEBP, BMP or PDF and return its text, with lines, boxes and
    confidence as JSON, or in another format."""
    began = time.monotonic()
    if (wait := respond_async(", ".join(request.headers.getlist("prefer")))) is not None:
        return await submit_job(request, services, wait)
    longest_s = services.settings.sync_timeout_s
    with (
        admitted(request, services) as (client, ticket),
        services.uploads.reserve(client, announced(request, services)) as space,
        services.workspace.file(".upload") as path,
    ):
        idempotency_key(request)  # it counts for jobs alone, but a wrong one is said here too
        upload = await receive_form(request, services, path, space, began + longest_s)
        form = parse_form(upload.fields)
        services.ocr.check(form, longest_s)
        # From when it arrived: a drain waits no longer for one whose upload was slow.
        deadline = began + (form.timeout_s or longest_s)
        wanted = read_request(form, upload.document, client, deadline, wants_fresh(request))

        async def answer() -> Response:
            reading = await services.reader.read(wanted, ticket)
            note_timings(request, reading)
            total_ms = (time.monotonic() - began) * 1000
            answer = await services.ocr.answer(reading, form, services.model_name, total_ms)
            await services.ocr.add_link(answer.about, form)
            output = form.output or accepted(request.headers.get("accept", ""))
            await services.untaken.room(client, deadline)
            written = await services.outputs.write(
                output, answer, wanted.document, client, deadline
            )
            return written_response(written, answer.about, services, client)

        return await unless_gone(request, answer())
