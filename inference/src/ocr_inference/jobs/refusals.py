"""What a client is told of a job that is not to be had."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ocr_inference.errors import PublicError
from ocr_inference.jobs.ledger import NewerRecord
from ocr_inference.sinks.base import StoreFailed

_COME_BACK_S = 10


@contextlib.contextmanager
def public() -> Iterator[None]:
    """Around what asks the store: its failures are raised as 503 storage_unavailable."""
    try:
        yield
    except StoreFailed as error:
        raise _unavailable(f"The jobs are not reachable. {error}") from error
    except NewerRecord as error:
        # While servers are replaced one by one the next request may reach a newer one.
        raise _unavailable("This job was written by a newer version of this server.") from error


def not_found() -> PublicError:
    return PublicError(404, "job_not_found", "There is no such job.")


def expired() -> PublicError:
    return PublicError(410, "job_expired", "The job is finished and was removed after its time.")


def not_cancellable() -> PublicError:
    return PublicError(409, "job_not_cancellable", "The job has finished just now.")


def _unavailable(message: str) -> PublicError:
    return PublicError(503, "storage_unavailable", message, retry_after=_COME_BACK_S)
