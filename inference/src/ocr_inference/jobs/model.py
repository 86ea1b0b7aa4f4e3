"""A job: a document that is read while nobody waits, its states and what is kept of it."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from ocr_inference.errors import PublicError
from ocr_inference.results.form import OcrForm

_ID = re.compile(r"[0-9a-f]{32}")


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    """Some pages failed."""
    FAILED = "failed"
    CANCELLING = "cancelling"
    """Its work is being stopped, on another replica."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINISHED = frozenset(
    (JobStatus.SUCCEEDED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED)
)

_NEXT: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset((JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED)),
    # Back to queued: its replica ended.
    JobStatus.RUNNING: FINISHED | {JobStatus.QUEUED, JobStatus.CANCELLING},
    JobStatus.CANCELLING: frozenset((JobStatus.CANCELLED,)),
    **dict.fromkeys(FINISHED, frozenset((JobStatus.EXPIRED,))),
    JobStatus.EXPIRED: frozenset(),
}


class ForbiddenChange(Exception):
    """A job cannot go from this state to that one."""


class Input(BaseModel):
    """What was sent, without its content. `name` is for people."""

    model_config = ConfigDict(frozen=True)
    name: str
    size: int
    sha256: str
    page_count: int


class JobError(BaseModel):
    """The `PublicError` that a job failed with."""

    model_config = ConfigDict(frozen=True)
    status: int
    code: str
    message: str
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: PublicError) -> JobError:
        return cls(
            status=error.status,
            code=error.code,
            message=error.message,
            details=error.public_details,
        )

    def public(self) -> PublicError:
        """As it was."""
        return PublicError(self.status, self.code, self.message, **self.details)


class JobRecord(BaseModel):
    """All that is kept of a job beside its input and its result. Never changed, only replaced."""

    # What a newer version says beside it stays in the record when an older one goes on with it.
    model_config = ConfigDict(frozen=True, extra="allow")
    id: str
    client: str
    form: OcrForm
    fresh: bool
    input: Input
    pages_total: int
    model: str = ""
    """What is to read it. Without a version: a newer one goes on with an older one's jobs."""
    status: JobStatus = JobStatus.QUEUED
    owner: str = ""
    """The replica that runs it or will; nobody's when empty."""
    unread_until: datetime | None = None
    """Then it fails, where no replica with its model has it."""
    attempts: int = 0
    """How often it was begun."""
    pages_done: int = 0
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    error: JobError | None = None
    idempotency: str | None = None
    """Name of the object that stands for its `Idempotency-Key`."""

    @property
    def finished(self) -> bool:
        return self.status in FINISHED or self.status is JobStatus.EXPIRED

    @property
    def has_result(self) -> bool:
        return self.status in (JobStatus.SUCCEEDED, JobStatus.PARTIAL)

    def expired(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def to(self, status: JobStatus, **changes: Any) -> JobRecord:
        """The record in another state. Raises `ForbiddenChange`."""
        if status not in _NEXT[self.status]:
            raise ForbiddenChange(f"{self.status} to {status}")
        return self.model_copy(update={"status": status, **changes})

    def json_bytes(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode()


def unread(record: JobRecord, ttl: timedelta) -> JobRecord:
    """Failed, as there is no replica that would read it."""
    now = utc_now()
    message = f"No server with the model {record.model} has read it in time."
    error = JobError.of(PublicError(503, "engine_unavailable", message))
    return record.to(JobStatus.FAILED, error=error, finished_at=now, expires_at=now + ttl)


def cancelled(record: JobRecord, ttl: timedelta) -> JobRecord:
    now = utc_now()
    return record.to(JobStatus.CANCELLED, finished_at=now, expires_at=now + ttl)


def new_id() -> str:
    """Not to be guessed: whoever shares a key name knows a job only by its ID."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def utc_now() -> datetime:
    return datetime.now(UTC)
