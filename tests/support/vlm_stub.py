"""A VLM server for tests: real HTTP on loopback, answers as it is told, counts what it is asked.

    with vlm_stub() as stub:
        stub.latency = 0.2
        ...
        assert stub.most_at_once == 4

It speaks streamed chat completions as vLLM does. All attributes may be changed while it runs.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from ocr_server import free_port

WARMUP_TOKENS = 8
"""Requests for so few tokens are the server's own, and are counted on their own."""


@dataclass
class VlmStub:
    port: int
    text: Callable[[str, int], str] = lambda prompt, count: f"{prompt} {count}"
    """The answer, given the prompt and how many blocks were asked for before."""
    latency: float = 0.0
    """Seconds before the first token."""
    pause: float = 0.0
    """Seconds between two tokens."""
    usage: Any = True
    """Whether the server says how many tokens it used; anything else is said instead."""
    logprob: float | None = -0.105
    """Of every token; e to it is 0.9. None: the server gives none."""
    failures: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Status and headers of the next answers."""
    fails: Callable[[str, int], int] = lambda prompt, count: 0  # noqa: ARG005
    """A status other than 0 is the answer, every time."""
    hangs: bool = False
    loops: Callable[[float], bool] = lambda temperature: False  # noqa: ARG005
    """Whether an answer goes on for ever, given the temperature that was asked for."""
    breaks_off: bool = False
    """The connection ends in the middle of every answer."""
    key: str | None = None
    """What has to be sent; others get 401."""
    health: int = 200
    health_delay: float = 0.0

    warmups: int = 0
    requests: int = 0
    at_once: int = 0
    most_at_once: int = 0
    aborted: int = 0
    """Answers whose connection was closed before their end."""
    tokens_sent: int = 0
    connections: set[tuple[str, int]] = field(default_factory=set)
    """Where blocks were asked for from."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    health_asked: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        config = uvicorn.Config(
            self, host="127.0.0.1", port=self.port, log_config=None, lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the stub did not start"
            time.sleep(0.01)

    def die(self) -> None:
        """Close the port, and the connections that are in work."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = self._server.force_exit = True
            self._thread.join(10)
            self._server = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if path == "/health":
            self.health_asked += 1
            await asyncio.sleep(self.health_delay)
            await _whole(send, self.health, {})
        elif path == "/v1/models":
            await _whole(send, 200 if self._may(scope) else 401, {"data": []})
        elif path == "/v1/chat/completions":
            await self._complete(scope, receive, send)
        else:
            await _whole(send, 404, {})

    async def _complete(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        if body is None:
            return
        asked = json.loads(body)
        if asked["max_completion_tokens"] == WARMUP_TOKENS:
            self.warmups += 1
            await self._answer(scope, send, asked, count=0)
            return
        self.requests += 1
        self.connections.add(tuple(scope["client"]))
        self.bodies.append(asked)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        answering = asyncio.ensure_future(self._answer(scope, send, asked, self.requests))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
            else:
                self.aborted += 1
        finally:
            self.at_once -= 1
            for task in (answering, gone):
                task.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)

    async def _answer(self, scope: Any, send: Any, asked: dict[str, Any], count: int) -> None:
        if not self._may(scope):
            await _whole(send, 401, {"error": {"message": "no"}})
            return
        prompt = asked["messages"][0]["content"][1]["text"]
        if count:
            if self.failures:
                status, headers = self.failures.pop(0)
                await _whole(send, status, {"error": {"message": "told to fail"}}, headers)
                return
            if status := self.fails(prompt, count):
                await _whole(send, status, {"error": {"message": "told to fail"}})
                return
            if self.hangs:
                await asyncio.sleep(3600)
            await asyncio.sleep(self.latency)
        await _start(send, 200, {"content-type": "text/event-stream"})
        sent = 0
        loop = bool(count) and self.loops(asked["temperature"])
        for token in _endless() if loop else _tokens(self.text(prompt, count)):
            await self._send(send, {"delta": {"content": token}, "finish_reason": None}, token)
            sent += 1
            if self.breaks_off and count:
                raise ConnectionAbortedError
            if sent == asked["max_completion_tokens"]:
                break
            await asyncio.sleep(self.pause)
        reason = "length" if sent == asked["max_completion_tokens"] else "stop"
        await self._send(send, {"delta": {}, "finish_reason": reason}, None)
        if self.usage is not False:
            usage = {"prompt_tokens": 100, "completion_tokens": sent}
            said = usage if self.usage is True else self.usage
            await _event(send, {"choices": [], "usage": said})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    async def _send(self, send: Any, choice: dict[str, Any], token: str | None) -> None:
        if token is not None and self.logprob is not None:
            choice["logprobs"] = {"content": [{"token": token, "logprob": self.logprob}]}
        self.tokens_sent += token is not None
        await _event(send, {"choices": [{"index": 0, **choice}]})

    def _may(self, scope: Any) -> bool:
        sent = dict(scope["headers"]).get(b"authorization")
        self.keys.append(None if sent is None else sent.decode().removeprefix("Bearer "))
        return self.key is None or self.keys[-1] == self.key


@contextmanager
def vlm_stub() -> Iterator[VlmStub]:
    stub = VlmStub(free_port())
    stub.start()
    try:
        yield stub
    finally:
        stub.die()


def _tokens(text: str) -> Iterator[str]:
    """Words with the space before them."""
    for index, word in enumerate(text.split(" ")):
        yield word if index == 0 else f" {word}"


def _endless() -> Iterator[str]:
    yield "Once"
    while True:
        yield from (" and", " again")


async def _start(send: Any, status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _whole(
    send: Any, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
) -> None:
    await _start(send, status, {"content-type": "application/json", **(headers or {})})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _event(send: Any, chunk: dict[str, Any]) -> None:
    data = f"data: {json.dumps(chunk)}\n\n".encode()
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _body(receive: Any) -> bytes | None:
    """None where the client is gone before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
