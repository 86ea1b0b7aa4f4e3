"""How a job's work ended, and what it fails with where its document is not the reason."""

from __future__ import annotations

import asyncio
import logging

from ocr_inference.errors import PublicError
from ocr_inference.jobs.model import JobError, JobRecord
from ocr_inference.jobs.result import JobResult

log = logging.getLogger("ocr_inference.jobs")


def outcome_of(work: asyncio.Task[JobResult]) -> JobResult | JobError:
    """Of work that is done."""
    error = work.exception()
    if error is None:
        return work.result()
    if isinstance(error, PublicError):
        return JobError.of(error)
    log.error("a job failed", exc_info=error)
    return server_failed()


def worn_out(record: JobRecord) -> JobError:
    message = f"The server ended {record.attempts} times while it was reading this document."
    return JobError.of(PublicError(502, "engine_error", message))


def server_failed() -> JobError:
    return JobError.of(PublicError(500, "internal_error", "The server failed; see its log."))


def ended_unread() -> JobError:
    message = "The server ended before it had read the document. Send it again."
    return JobError.of(PublicError(503, "draining", message))
