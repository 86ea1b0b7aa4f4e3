"""Errors a client may see. The message is public: no paths, no document content, no secrets."""

from __future__ import annotations

from typing import Any


class PublicError(Exception):
    """An HTTP error with a stable `code`. Picklable, because it crosses from child processes."""

    def __init__(self, status: int, code: str, message: str, **details: Any) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.status, self.code, self.message, self.details))

    def __str__(self) -> str:
        return self.message


def _rebuild(status: int, code: str, message: str, details: dict[str, Any]) -> PublicError:
    return PublicError(status, code, message, **details)
