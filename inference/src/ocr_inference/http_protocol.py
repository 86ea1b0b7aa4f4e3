"""uvicorn's HTTP protocol with limits on the header.

uvicorn alone keeps a connection that sends nothing, or half a header, open for ever (measured: more
than 75 s), and takes a header of any size.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEADER_BYTES = 64 * 1024


class HeaderLimitedProtocol(HttpToolsProtocol):
    header_timeout: float
    """Seconds for a whole header, from the connection or the request's first byte."""

    _timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_header = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
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
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_header, self._header_bytes = True, 0
        super().on_message_complete()

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
        if not self.transport.is_closing():
            self.transport.write(
                STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()


def header_limited(timeout: float) -> type[HeaderLimitedProtocol]:
    """The class for `uvicorn.Config`, which makes the instances itself."""
    return type("Protocol", (HeaderLimitedProtocol,), {"header_timeout": timeout})
