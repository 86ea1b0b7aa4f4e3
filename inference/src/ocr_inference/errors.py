"""Errors a client may see. The message is public: no paths, no document content, no secrets."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))

STORAGE_RETRY_S = 10
"""Seconds; a few pages are read in that time."""


class PublicError(Exception):
    """An HTTP error with a stable `code`. Picklable, because it crosses from child processes."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def public_details(self) -> dict[str, Any]:
        """What an answer shows of them: `retry_after` is said in a header."""
        return {name: value for name, value in self.details.items() if name != "retry_after"}

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.status, self.code, self.message, self.details))

    def __str__(self) -> str:
        return self.message


def storage_full() -> PublicError:
    """The temporary directory has no room: it passes when other requests end."""
    return PublicError(
        503, "storage_full", "There is no room for this document now.", retry_after=STORAGE_RETRY_S
    )


@contextmanager
def writing() -> Iterator[None]:
    """Around what writes to the temporary directory: a full disk is raised as `storage_full`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise storage_full() from error
        raise


def _rebuild(status: int, code: str, message: str, details: dict[str, Any]) -> PublicError:
    return PublicError(status, code, message, **details)
