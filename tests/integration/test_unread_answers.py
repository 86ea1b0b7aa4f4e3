"""The HTTP protocol and a client that does not take what it asked for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from ocr_server import free_port

from ocr_inference.http_protocol import limited_protocol
from ocr_inference.metrics import Metrics

PIECE = bytes(64 * 1024)
WRITE_TIMEOUT_S = 0.5
PATIENCE_S = 20


@dataclass
class Endless:
    """An application whose answer has no end."""

    port: int
    ended: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        await receive()
        leaving = asyncio.create_task(receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not leaving.done():
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        self.ended.set()


@contextmanager
def serving() -> Iterator[Endless]:
    app = Endless(free_port())
    config = uvicorn.Config(
        app,
        port=app.port,
        http=limited_protocol(
            10, 100, Metrics("1", "none").connections_refused, write_timeout=WRITE_TIMEOUT_S
        ),
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield app
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def app() -> Iterator[Endless]:
    with serving() as app:
        yield app


@contextmanager
def asking(app: Endless) -> Iterator[socket.socket]:
    app.ended.clear()
    with socket.socket() as connection:
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", app.port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        yield connection


def test_an_answer_that_nobody_takes_is_ended(app: Endless) -> None:
    with asking(app):
        assert app.ended.wait(PATIENCE_S)


def test_an_answer_that_is_taken_slowly_goes_on(app: Endless) -> None:
    with asking(app) as connection:
        for _ in range(30):  # six times the limit
            assert connection.recv(4096)
            time.sleep(0.1)
        assert not app.ended.is_set()
    assert app.ended.wait(PATIENCE_S)
