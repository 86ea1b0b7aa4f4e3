"""What surrounds every request: its id, its limits, its headers, its line in the log.

Plain ASGI around the whole application, so that error answers of every kind have it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ocr_inference import logs
from ocr_inference.errors import PublicError
from ocr_inference.lifecycle import Lifecycle, Stage
from ocr_inference.metrics import Metrics
from ocr_inference.sources.space import MAX_REST_BYTES

log = logging.getLogger("ocr_inference.http")

QUIET_PATHS = frozenset(("/livez", "/readyz", "/startupz", "/health", "/health/vllm", "/metrics"))
"""Asked every second by machines: not worth a line."""

BODY_IDLE_S = 30.0
_LINGER_S = 2.0
_PIECE_BYTES = 64 * 1024
"""An answer is sent in pieces: the whole would be copied, and held twice until it is taken."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """`max_bytes` is what a document may have. In a body it has others beside it, and it may be
    base64: in JSON, and in a form as a `data:` URL."""

    max_bytes: int
    total_s: float
    idle_s: float = BODY_IDLE_S

    @property
    def body_bytes(self) -> int:
        return self.max_bytes * 4 // 3 + MAX_REST_BYTES


@dataclass(slots=True)
class Timings:
    """Filled in by a route, sent as headers. Milliseconds."""

    queue_ms: float = 0.0
    inference_ms: float = 0.0


@dataclass(slots=True)
class _Body:
    """How much of a request's body has come."""

    expected: int | None
    most: int
    complete: bool
    received: int = 0
    deadline: float | None = None


@dataclass(slots=True)
class _Exchange:
    scope: Scope
    body: _Body
    request_id: str
    timings: Timings = field(default_factory=Timings)
    began: float = field(default_factory=time.monotonic)
    status: int = 0
    linger: bool = False


class Envelope:
    def __init__(
        self, app: ASGIApp, limits: BodyLimits, lifecycle: Lifecycle, metrics: Metrics
    ) -> None:
        self._app = app
        self._limits = limits
        self._lifecycle = lifecycle
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        body = _body(headers, self._limits)
        exchange = _Exchange(scope, body, _request_id(headers.get(b"x-request-id")))
        scope.setdefault("state", {})["timings"] = exchange.timings
        token = logs.request_id.set(exchange.request_id)
        work = self._lifecycle.request() if scope["method"] == "POST" else contextlib.nullcontext()
        try:
            with work:
                await self._app(
                    scope,
                    lambda: self._receive(exchange, receive),
                    lambda message: self._send(exchange, message, receive, send),
                )
        finally:
            self._record(exchange)
            logs.request_id.reset(token)

    async def _receive(self, exchange: _Exchange, receive: Receive) -> Message:
        body, limits = exchange.body, self._limits
        if body.complete:
            return await receive()  # it can only say that the client is gone
        if body.expected is not None and body.expected > body.most:
            raise _too_large(limits)
        now = time.monotonic()
        body.deadline = body.deadline or now + limits.total_s
        try:
            async with asyncio.timeout(min(limits.idle_s, body.deadline - now)):
                message = await receive()
        except TimeoutError:
            raise PublicError(
                408, "upload_timeout", "The request body did not arrive in time."
            ) from None
        if message["type"] == "http.request":
            body.received += len(message.get("body", b""))
            body.complete = not message.get("more_body", False)
            if body.received > body.most:
                raise _too_large(limits)
        return message

    async def _send(
        self, exchange: _Exchange, message: Message, receive: Receive, send: Send
    ) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            # What is still to come is not wanted, so the connection cannot be used again.
            exchange.linger = not exchange.body.complete
            message = {**message, "headers": [*message["headers"], *self._headers(exchange)]}
        else:
            message = await _send_pieces(message, send)
            if exchange.linger and not message.get("more_body", False):
                # Closing while the client still sends would reset the connection, and the client
                # would lose the answer with it. So it is sent, and what comes is thrown away a
                # while.
                await send({**message, "more_body": True})
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_S):
                        await _discard(receive)
                message = {"type": "http.response.body", "body": b""}
        await send(message)

    def _headers(self, exchange: _Exchange) -> list[tuple[bytes, bytes]]:
        timings, total = exchange.timings, (time.monotonic() - exchange.began) * 1000
        headers = {
            "x-request-id": exchange.request_id,
            "x-ocr-engine": self._metrics.engine,
            "x-queue-time-ms": f"{timings.queue_ms:.0f}",
            "x-inference-time-ms": f"{timings.inference_ms:.0f}",
            "server-timing": f"queue;dur={timings.queue_ms:.1f}, "
            f"inference;dur={timings.inference_ms:.1f}, total;dur={total:.1f}",
        }
        if exchange.linger or self._lifecycle.stage is not Stage.SERVING:
            headers["connection"] = "close"
        return [(name.encode(), value.encode()) for name, value in headers.items()]

    def _record(self, exchange: _Exchange) -> None:
        scope, seconds = exchange.scope, time.monotonic() - exchange.began
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, str(exchange.status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        if (client := scope["state"].get("client")) is not None:
            self._metrics.client_requests.labels(client, str(exchange.status)).inc()
        if (code := scope["state"].get("error_code")) is not None:
            self._metrics.rejected.labels(code).inc()
        if scope["path"] in QUIET_PATHS:
            return
        log.info(
            "request",
            extra={
                "method": scope["method"],
                # Not the path: what a client made of it may be anybody's secret.
                "route": route,
                "status": exchange.status,
                "seconds": round(seconds, 4),
                **({"code": code} if code else {}),
            },
        )


def _too_large(limits: BodyLimits) -> PublicError:
    most = limits.max_bytes
    return PublicError(
        413,
        "file_too_large",
        f"The body is too large: a document has at most {most} bytes.",
        limit=most,
    )


def _body(headers: MutableMapping[bytes, bytes], limits: BodyLimits) -> _Body:
    length = headers.get(b"content-length", b"")
    expected = int(length) if length.isdigit() else None
    absent = b"transfer-encoding" not in headers and not expected
    return _Body(expected, limits.body_bytes, complete=absent)


def _request_id(given: bytes | None) -> str:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return uuid.uuid4().hex


async def _send_pieces(message: Message, send: Send) -> Message:
    """Waits before each until what came before is taken. Returns the last."""
    body = message.get("body", b"")
    begin = 0
    while len(body) - begin > _PIECE_BYTES:
        piece = body[begin : begin + _PIECE_BYTES]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        begin += _PIECE_BYTES
    return {**message, "body": body[begin:]} if begin else message


async def _discard(receive: Receive) -> None:
    while True:
        message: dict[str, Any] = dict(await receive())
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
