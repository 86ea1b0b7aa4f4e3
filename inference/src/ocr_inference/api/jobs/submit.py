"""From a request with a document to a job: for `POST /v1/jobs` and for `Prefer: respond-async`."""

from __future__ import annotations

import re
import time

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from ocr_inference.api.jobs.results import result_response
from ocr_inference.api.jobs.schema import job_body, job_links
from ocr_inference.api.ocr.schema import parse_form
from ocr_inference.api.work import announced, client_of, receive_form, unless_gone, wants_fresh
from ocr_inference.errors import PublicError
from ocr_inference.jobs.model import JobRecord
from ocr_inference.jobs.order import Order
from ocr_inference.services import Services

_SAID_LATER = frozenset(("job_not_found", "job_expired", "storage_unavailable", "too_many_answers"))
"""What became of the job while it was waited for, and of its answer, is for who asks for them."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


async def submit_job(request: Request, services: Services, wait: float = 0.0) -> Response:
    """202 with the job, or what was read where that takes no longer than `wait` seconds; where the
    job fails in that time, its error is raised."""
    record = await _submit(request, services)
    if wait:
        try:
            record = await services.jobs.wait_finished(record.id, record.client, wait)
            if record.has_result:
                async with services.answers.take(record.client):
                    answer = await result_response(request, services, record, None)
                answer.headers["Preference-Applied"] = "respond-async"
                return answer
        except PublicError as error:
            if error.code not in _SAID_LATER:
                raise
        if record.error is not None:
            raise record.error.public()
    return accepted_response(services, record)


def accepted_response(services: Services, record: JobRecord) -> Response:
    own = job_links(record.id).self
    headers = {
        "Location": own,
        "Operation-Location": own,
        "Retry-After": str(services.jobs.seconds_left(record)),
    }
    body = job_body(record, services.jobs.position(record.id))
    return JSONResponse(body.model_dump(mode="json"), 202, headers=headers)


async def _submit(request: Request, services: Services) -> JobRecord:
    began = time.monotonic()
    client = client_of(request, services)
    services.check_can_work()
    key = idempotency_key(request)
    coming = announced(request, services)
    services.jobs.check_room(client, coming)
    services.rates.admit(client)
    with (
        services.uploads.reserve(client, coming) as space,
        services.workspace.file(".upload") as path,
    ):
        upload = await receive_form(
            request, services, path, space, began + services.settings.sync_timeout_s
        )
        form = parse_form(upload.fields)
        services.ocr.check(form, services.settings.job_timeout_s)
        services.reader.check(form.task)
        # What cannot be read at all is said now, and not to whoever asks for the result later.
        found = await unless_gone(
            request,
            services.decoder.inspect(
                client,
                upload.document.path,
                form.pages,
                form.dpi,
                began + services.settings.sync_timeout_s,
                services.settings.max_pages_async,
            ),
        )
        # Not ended half-way: the job would be there, and nobody would know it.
        return await services.jobs.submit(
            Order(
                client=client,
                form=form,
                document=upload.document,
                page_count=found.page_count,
                pages=len(found.page_numbers),
                fresh=wants_fresh(request),
                key=key,
            )
        )


def idempotency_key(request: Request) -> str | None:
    """Raises `PublicError` 422 invalid_field."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise PublicError(
            422, "invalid_field", "Idempotency-Key: 1 to 255 printable ASCII characters."
        )
    return key
