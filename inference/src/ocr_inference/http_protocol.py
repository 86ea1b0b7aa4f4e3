"""uvicorn's HTTP protocol with limits on headers and connections.

uvicorn alone keeps a connection that sends nothing, or half a header, open for ever (measured: more
than 75 s), takes a header of any size, and as many connections as there are descriptors.
"""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEADER_BYTES = 64 * 1024

MAX_CONNECTIONS = 4096
"""At 5 KiB each while they wait."""

_OTHER_DESCRIPTORS = 256
"""Kept for files, children and the bucket."""


class HeaderLimitedProtocol(HttpToolsProtocol):
    header_timeout: float
    """Seconds for a whole header, from the connection or the request's first byte."""

    most: int
    """Connections at a time."""

    without_request: OrderedDict[HeaderLimitedProtocol, None]
    """Connections that no request is in flight on, those that have waited longest first."""

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_header = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.without_request[self] = None
        self._start_timer()
        if len(self.connections) > self.most:
            # Somebody who only holds connections must not keep out who comes with a request.
            longest = next(iter(self.without_request))
            longest._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.without_request.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None and self._in_header and self._idle:  # the next request's first bytes
            self._start_timer()
        self._header_bytes += len(data)  # set back when a header or a body ends in this data
        super().data_received(data)
        if self._in_header and self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._in_header, self._header_bytes = False, 0
        self.without_request.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_header, self._header_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._idle and not self.transport.is_closing():
            self.without_request[self] = None

    @property
    def _idle(self) -> bool:
        """No request is in flight: a refusal would otherwise be written into its answer."""
        return self.cycle is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.header_timeout, self._refuse, 408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._stop_timer()
        self.without_request.pop(self, None)
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()


def header_limited(timeout: float, most: int) -> type[HeaderLimitedProtocol]:
    """The class for `uvicorn.Config`, which makes the instances itself."""
    shared = {"header_timeout": timeout, "most": most, "without_request": OrderedDict()}
    return type("Protocol", (HeaderLimitedProtocol,), shared)


def connection_limit() -> int:
    """How many connections this process can have, once it has taken all descriptors it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + _OTHER_DESCRIPTORS  # a request has files open too
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, (soft - _OTHER_DESCRIPTORS) // 2))
