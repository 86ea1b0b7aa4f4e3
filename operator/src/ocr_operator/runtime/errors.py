"""What can come of a call to the API server, by what is to be done about it."""

from __future__ import annotations


class ApiError(Exception):
    """`status` is the HTTP status, 0 without an answer; the message is the API server's, one
    line."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Retryable(ApiError):
    """Not now: overload, an outage, a lost connection. `after` is the wait it asked for,
    seconds."""

    def __init__(self, message: str, status: int = 0, after: float = 0.0) -> None:
        super().__init__(message, status)
        self.after = after


class Conflict(ApiError):
    """The object is another's, or not the one that was meant: look again first."""


class NotFound(ApiError):
    """The object, its namespace or its kind is not there."""


class Forbidden(ApiError):
    """Rights or a quota are missing: somebody has to act, so it is shown."""


class Refused(ApiError):
    """The API server does not accept the object: somebody has to act, so it is shown."""
