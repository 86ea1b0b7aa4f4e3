"""uvicorn's HTTP protocol with limits on headers, connections, and answers that nobody takes.

uvicorn alone keeps a connection that sends nothing, or half a header, open for ever (measured: more
than 75 s), takes a header of any size, before the body and after it (a trailer), and as many
connections as there are descriptors. It keeps an answer for as long as its client takes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import resource
import struct
import termios
from collections import OrderedDict

from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEADER_BYTES = 64 * 1024

_FRAMING_SHARE = 8
"""Bytes of chunk headers that a byte of body may have: the smallest chunk has five."""

WRITE_TIMEOUT_S = 30.0
MIN_WRITE_RATE = 8 * 1024
"""Bytes a second, measured over `WRITE_TIMEOUT_S`."""

_HIGH_WATER = 64 * 1024

MAX_CONNECTIONS = 4096
"""At 5 KiB each while they wait."""

_RETRY_AFTER_S = 1
"""A connection that brings its request at once is taken."""

_OTHER_DESCRIPTORS = 256
"""Kept for files, children and the bucket."""


class LimitedProtocol(HttpToolsProtocol):
    header_timeout: float
    """Seconds for a whole header, from the connection or the request's first byte."""

    write_timeout: float
    """Seconds in which a client has to take some of what it is sent."""

    most: int
    """Connections at a time."""

    refused: Counter
    """By status. These are no requests, so that no other metric has them."""

    without_request: OrderedDict[LimitedProtocol, None]
    """Connections that no request is in flight on, those that have waited longest first."""

    _timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    """Of a header, of trailers, of what surrounds chunks: all that is not body."""
    _in_header = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # `low`: writing that is resumed is writing that needs no watching.
        transport.set_write_buffer_limits(high=_HIGH_WATER, low=0)
        self.without_request[self] = None
        self._start_timer()
        if len(self.connections) > self.most:
            # Somebody who only holds connections must not keep out who comes with a request.
            longest = next(iter(self.without_request))
            longest._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        self.without_request.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None and self._in_header and self._idle:  # the next request's first bytes
            self._start_timer()
        self._header_bytes += len(data)  # set back when a header or a body ends in this data
        super().data_received(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._in_header, self._header_bytes = False, 0
        self.without_request.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._header_bytes = max(0, self._header_bytes - (1 + _FRAMING_SHARE) * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_header, self._header_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._idle and not self.transport.is_closing():
            self.without_request[self] = None
        self.loop.call_soon(self._watch_writing)  # uvloop writes when this round is over

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def _answering(self) -> bool:
        """A refusal would be written into an answer."""
        return bool(self.pipeline) or (not self._idle and self.cycle.response_started)

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.header_timeout, self._refuse, 408)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._stop_timer()
        self.without_request.pop(self, None)
        if self.transport.is_closing():
            return
        if self._answering:
            self.transport.abort()
            return
        self.refused.labels(str(status)).inc()
        headers = b"content-length: 0\r\nconnection: close\r\n"
        if status == 503:
            headers += b"retry-after: %d\r\n" % _RETRY_AFTER_S
        self.transport.write(STATUS_LINE[status] + headers + b"\r\n")
        self.transport.close()
        self.loop.call_soon(self._watch_writing)

    def send_400_response(self, msg: str) -> None:
        self.refused.labels("400").inc()
        super().send_400_response(msg)

    def _watch_writing(self) -> None:
        """Until the buffer is empty. A closed transport has to empty it, too."""
        self._stop_write_timer()
        if self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(
                self.write_timeout, self._check_writing, self._unsent()
            )

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_writing(self, before: int) -> None:
        self._write_timer = None
        if not self.transport.get_write_buffer_size():
            return
        if before - self._unsent() < MIN_WRITE_RATE * self.write_timeout:
            self.transport.abort()
        else:
            self._watch_writing()

    def _unsent(self) -> int:
        """Bytes that the client has not taken. The kernel's too: it asks for more of ours only
        when a good part of its own, which may be megabytes, is gone."""
        unsent = self.transport.get_write_buffer_size()
        with contextlib.suppress(OSError):  # closed just now
            sock = self.transport.get_extra_info("socket")
            queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
            unsent += struct.unpack("i", queued)[0]
        return unsent


def limited_protocol(
    header_timeout: float, most: int, refused: Counter, write_timeout: float = WRITE_TIMEOUT_S
) -> type[LimitedProtocol]:
    """The class for `uvicorn.Config`, which makes the instances itself."""
    shared = {
        "header_timeout": header_timeout,
        "write_timeout": write_timeout,
        "most": most,
        "refused": refused,
        "without_request": OrderedDict(),
    }
    return type("Protocol", (LimitedProtocol,), shared)


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
