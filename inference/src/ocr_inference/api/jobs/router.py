"""`/v1/jobs`: documents that are read while nobody waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ocr_inference.api.jobs.events import Turn, job_events
from ocr_inference.api.jobs.prefer import LONGEST_WAIT_S
from ocr_inference.api.jobs.results import result_response
from ocr_inference.api.jobs.schema import IDEMPOTENCY_KEY, Job, job_body
from ocr_inference.api.jobs.submit import accepted_response, submit_job
from ocr_inference.api.ocr.response import CONTENT
from ocr_inference.api.ocr.schema import OcrAnswer, form_schema
from ocr_inference.api.problem import Problem
from ocr_inference.api.work import (
    ERROR_STATUSES,
    bearer,
    client_of,
    hold_answer,
    unless_gone,
    until_sent,
)
from ocr_inference.errors import PublicError
from ocr_inference.jobs.model import JobRecord
from ocr_inference.results.form import Output
from ocr_inference.services import Services, services_of

_MOST_SIDE = 4000

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[Depends(bearer)])

_Services = Annotated[Services, Depends(services_of)]
_UntilSent = Annotated[AsyncExitStack, Depends(until_sent)]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in (401, 404, 410, 422, 503, *statuses)}


@router.post(
    "",
    summary="Send a document to be read as a job",
    status_code=202,
    response_model=Job,
    responses={status: {"model": Problem} for status in (*ERROR_STATUSES, 409)},
    openapi_extra={"requestBody": form_schema(), "parameters": [IDEMPOTENCY_KEY]},
)
async def submit(request: Request, services: _Services) -> Response:
    """Takes what `POST /ocr` takes, and more pages. With an `Idempotency-Key` header a request that
    is repeated gets the same job."""
    return await submit_job(request, services)


@router.get("/{job}", summary="The state of a job", response_model=Job, responses=_errors())
async def state(
    request: Request,
    services: _Services,
    job: str,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT_S, description="Seconds to wait for a change.")
    ] = 0.0,
) -> Response:
    client = client_of(request, services)
    record = await services.jobs.wait(job, client, wait)
    return _state(services, record)


@router.get(
    "/{job}/result",
    summary="What was read",
    response_model=OcrAnswer,
    responses={
        200: {"content": CONTENT},
        **_errors(400, 409, 429, 502, 504),
    },
)
async def result(
    request: Request,
    services: _Services,
    held: _UntilSent,
    job: str,
    output: Annotated[Output | None, Query(description="Other than the job was sent with.")] = None,
) -> Response:
    """The answer that `POST /ocr` would have given, in any format, until the job expires."""
    record = await services.jobs.find(job, client_of(request, services))
    await hold_answer(held, services, record.client)
    return await unless_gone(request, result_response(request, services, record, output))


@router.get(
    "/{job}/events",
    summary="A job as it is read",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **_errors(429)},
)
async def events(request: Request, services: _Services, held: _UntilSent, job: str) -> Response:
    """Server-sent events: `state` with the job, `page` with an entry of the JSON answer's `pages`,
    `done` with the finished job. `Last-Event-ID` goes on where another stream ended."""
    record = await services.jobs.find(job, client_of(request, services))
    turn: Turn = nullcontext
    if record.has_result:
        await hold_answer(held, services, record.client)
    else:
        turn = partial(services.answers.take, record.client)
    parts = job_events(services.jobs, record, request.headers.get("last-event-id", ""), turn)
    # Or a client that leaves keeps its turn until the parts are collected.
    held.push_async_callback(parts.aclose)
    # nginx would collect the events before it passes them on.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(parts, media_type="text/event-stream", headers=headers)


@router.get(
    "/{job}/pages/{number}/image",
    summary="A page as a picture",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **_errors(400, 429, 504)},
)
async def page_image(
    request: Request,
    services: _Services,
    held: _UntilSent,
    job: str,
    number: int,
    side: Annotated[
        int, Query(ge=16, le=_MOST_SIDE, description="Pixels of the longer side, at most.")
    ] = 1600,
) -> Response:
    """For people, next to what was read: a JPEG of the page as it was sent."""
    record = await services.jobs.find(job, client_of(request, services))
    if not 1 <= number <= record.input.page_count:
        raise PublicError(404, "page_not_found", "The document has no such page.")
    deadline = time.monotonic() + services.settings.sync_timeout_s
    await hold_answer(held, services, record.client)

    async def picture() -> bytes:
        async with services.jobs.document(record) as document:
            with services.workspace.file(".jpeg") as out:
                await services.decoder.preview(
                    record.client, document.path, number, side, out, deadline
                )
                return await asyncio.to_thread(out.read_bytes)

    body = await unless_gone(request, picture())
    return Response(
        body, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"}
    )


@router.delete(
    "/{job}",
    summary="Cancel a job, or delete a finished one",
    response_model=Job,
    responses={
        202: {"model": Job, "description": "Its work is being stopped, on another replica."},
        204: {"description": "It was finished, and is deleted."},
        **_errors(409),
    },
)
async def cancel(request: Request, services: _Services, job: str) -> Response:
    """Stops the work of a job. A finished one is deleted, with its document and its result."""
    record = await services.jobs.cancel(job, client_of(request, services))
    if record is None:
        return Response(status_code=204)
    return _state(services, record) if record.finished else accepted_response(services, record)


def _state(services: Services, record: JobRecord) -> Response:
    headers = {} if record.finished else {"Retry-After": str(services.jobs.seconds_left(record))}
    body = job_body(record, services.jobs.position(record.id))
    return JSONResponse(body.model_dump(mode="json"), headers=headers)
