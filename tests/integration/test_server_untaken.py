"""What answers that clients do not take hold of the HTTP process: sockets, not memory."""

from __future__ import annotations

import contextlib
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ocr_server import OcrServer, pdf, refusal, running_server
from processes import memory

HEAVY = "\n".join(f"line {number} " + "x" * 100 for number in range(800))
"""Of one page: its JSON answer has 700 kB of it."""

PAGES = 20
DOCUMENT = pdf(8)
"""Its JSON answer has 5 MB."""

ANSWERS = 16
STREAMS = 100
SETTLE_S = 3.0


@contextlib.contextmanager
def untaken(server: OcrServer, request: bytes, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that ask and do not read."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(request)
            opened.append(connection)
        yield opened


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_streams_that_wait_for_the_end_of_a_job_hold_little_of_it(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path, {"text": HEAVY, "page_seconds": 0.2}) as server:
        server.wait_for(_done(server, server.submitted(pdf(PAGES))))  # what one job takes
        job = server.submitted(pdf(PAGES, side=90))
        before, _ = memory(server.pid)
        with untaken(server, get(f"{job}/events"), STREAMS):
            server.wait_for(_done(server, job))
            time.sleep(SETTLE_S)
            grown = memory(server.pid)[0] - before
        assert grown < 150, f"{grown} MiB for {STREAMS} streams"
        assert "event: done" in server.get(f"{job}/events").text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    """It has read the document before."""
    with running_server(tmp_path_factory.mktemp("server"), {"text": HEAVY}) as server:
        assert server.read(DOCUMENT).status_code == 200
        yield server


def posted(server: OcrServer, path: str, **sent: Any) -> bytes:
    request = server.http.build_request("POST", path, **sent)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + request.read()


def asked_for(server: OcrServer, way: str) -> bytes:
    """The request for the document's answer."""
    form = {"file": ("a.pdf", DOCUMENT)}
    url = f"data:application/pdf;base64,{b64encode(DOCUMENT).decode()}"
    match way:
        case "ocr":
            return posted(server, "/ocr", files=form)
        case "layout-parsing":
            return posted(server, "/layout-parsing", json={"file": url})
        case "mistral":
            document = {"type": "document_url", "document_url": url}
            more = {"include_blocks": True}
            return posted(
                server, "/v1/ocr", json={"model": "scripted", "document": document, **more}
            )
        case _:
            prefer = {"Prefer": "respond-async, wait=30"}
            return posted(server, "/ocr", files=form, headers=prefer)


@pytest.mark.parametrize("way", ["ocr", "layout-parsing", "mistral", "respond-async"])
def test_answers_that_are_not_taken_are_not_in_memory(server: OcrServer, way: str) -> None:
    request = asked_for(server, way)
    with contextlib.ExitStack() as opened:

        def one_more() -> None:  # one after the other: what writing takes is not what is held
            (connection,) = opened.enter_context(untaken(server, request, 1))
            assert connection.recv(12) == b"HTTP/1.1 200"

        for _ in range(2):
            one_more()
        before, _ = memory(server.pid)
        for _ in range(ANSWERS):
            one_more()
        grown = memory(server.pid)[0] - before
        assert server.metric("ocr_queue_pages") == 0
    assert grown < 50, f"{grown} MiB for {ANSWERS} answers"


def test_who_takes_no_answers_is_given_no_more(tmp_path: Path) -> None:
    settings = {"ocr_max_upload_bytes": 100_000, "ocr_queue_max_bytes": 1}
    with running_server(tmp_path, {"text": HEAVY}, **settings) as server:
        with untaken(server, asked_for(server, "ocr"), 1) as (connection,):
            assert connection.recv(12) == b"HTTP/1.1 200"
            refused = server.read(DOCUMENT)
            assert refusal(refused) == (429, "too_many_answers")
            assert int(refused.headers["Retry-After"]) > 0
        server.wait_for(lambda: server.read(DOCUMENT).status_code == 200)


def _done(server: OcrServer, job: str) -> Callable[[], bool]:
    return lambda: bool(server.get(job).json()["status"] == "succeeded")
