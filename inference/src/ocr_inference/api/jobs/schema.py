"""The job routes on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from ocr_inference.jobs.model import JobRecord

Status = Literal[
    "queued",
    "running",
    "succeeded",
    "partial",
    "failed",
    "cancelling",
    "cancelled",
    "expired",
]


IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A request for a job that is repeated with it gets the same job. Of no effect "
    "on `POST /ocr` unless `Prefer: respond-async` asks for one.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}

PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "A job is wanted, or so where the answer takes longer than so many seconds.",
    "schema": {"type": "string", "pattern": "^respond-async(, wait=[0-9]{1,2})?$"},
}


class JobErrorBody(BaseModel):
    code: str
    message: str
    details: dict[str, Any] | None = None


class JobLinks(BaseModel):
    self: str
    result: str
    events: str


class Job(BaseModel):
    """A document that is read while nobody waits. `partial`: some pages failed, and say why."""

    id: str
    status: Status
    queue_position: int | None = Field(
        description="Jobs before this one, while it waits on the replica that answers."
    )
    pages_done: int
    pages_total: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None = Field(description="When it is removed, once it is finished.")
    error: JobErrorBody | None = None
    links: JobLinks


def job_body(record: JobRecord, position: int | None) -> Job:
    error = record.error
    return Job(
        id=record.id,
        status=record.status.value,
        queue_position=position,
        pages_done=record.pages_done,
        pages_total=record.pages_total,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        expires_at=record.expires_at,
        error=error
        and JobErrorBody(code=error.code, message=error.message, details=error.details or None),
        links=job_links(record.id),
    )


def job_links(job: str) -> JobLinks:
    own = f"/v1/jobs/{job}"
    return JobLinks(self=own, result=f"{own}/result", events=f"{own}/events")
