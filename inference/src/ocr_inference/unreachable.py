"""Why another machine was not reached, in words for people."""

from __future__ import annotations

import socket

from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
)
from urllib3.exceptions import TimeoutError as UrllibTimeout


def why_unreachable(error: HTTPError) -> str:
    """A clause without a full stop."""
    reason: BaseException | None = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, ProxyError):
        return f"by the proxy: {_why(reason.original_error)}"
    return _why(reason)


def _why(reason: BaseException | None) -> str:
    # First, for these two are timeouts too in some versions.
    if isinstance(reason, NameResolutionError):
        cause = reason.__cause__
        passing = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN
        known = "cannot be looked up now" if passing else "is not known"
        return f"the name {reason.conn.host} {known}"
    if isinstance(reason, NewConnectionError):
        if isinstance(reason.__cause__, ConnectionRefusedError):
            return "the connection was refused"
        detail = getattr(reason.__cause__, "strerror", None)
        return "no connection can be made" + (f": {detail}" if detail else "")
    if isinstance(reason, UrllibTimeout):
        return "no answer came in time"
    if isinstance(reason, ProtocolError):
        return "the connection broke off"
    return "the connection failed"
