"""Connections that end too early, go on too soon, or bring nothing."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
import pytest
from ocr_server import OcrServer, picture, running_server
from processes import kept_waiting, memory

from ocr_inference.http_protocol import MAX_HEADER_BYTES

HALF_A_HEADER = b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Le"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), {"page_seconds": 2}, ocr_header_timeout_s=1
    ) as server:
        yield server


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HALF_A_HEADER, 408),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 2 * MAX_HEADER_BYTES, 431),
        (b"no HTTP\r\n\r\n", 400),
    ],
    ids=["408", "431", "400"],
)
def test_a_refused_connection_is_counted(server: OcrServer, sent: bytes, status: int) -> None:
    line = f'ocr_connections_refused_total{{status="{status}"}}'
    before = server.metric(line)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        with contextlib.suppress(ConnectionError):  # it may be refused before all is sent
            connection.sendall(sent)
        server.wait_for(lambda: server.metric(line) > before)


def upload(document: bytes) -> bytes:
    body = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + document
        + b"\r\n--limit--\r\n"
    )
    return (
        b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=limit\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


def test_a_client_that_leaves_in_its_upload_is_no_error(server: OcrServer) -> None:
    metric = 'ocr_cancelled_total{cause="disconnect"}'
    before = server.metric(metric)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(upload(picture())[:-20])
    server.wait_for(lambda: server.metric(metric) == before + 1)
    assert server.metric("ocr_queue_pages") == 0
    assert "ClientDisconnect" not in server.log


def test_the_next_requests_first_bytes_do_not_break_the_answer_in_flight(
    server: OcrServer,
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(upload(picture()))
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 1)
        connection.sendall(b"GET /livez HT")
        assert connection.recv(1024).startswith(b"HTTP/1.1 200")


@contextlib.contextmanager
def held(server: OcrServer, *sent: bytes) -> Iterator[Sequence[socket.socket]]:
    """A connection that stays open for each of `sent`, after those bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with contextlib.ExitStack() as stack:
        connections = []
        for part in sent:
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            connections.append(stack.enter_context(sock))
            sock.sendall(part)
        yield connections


def seconds_of_a_good_request(server: OcrServer) -> float:
    """On a connection of its own, without the time that others on this machine took."""
    began, waited = time.monotonic(), all_kept_waiting(server)
    files = {"file": ("a.png", picture())}
    answer = httpx.post(f"{server.url}/ocr", files=files, timeout=30, trust_env=False)
    assert answer.status_code == 200, answer.text
    return time.monotonic() - began - (all_kept_waiting(server) - waited)


def all_kept_waiting(server: OcrServer) -> float:
    """Of this process and of the server's: any of them may stand in the way of the answer."""
    children = psutil.Process(server.pid).children()
    return sum(kept_waiting(pid) for pid in (os.getpid(), server.pid, *(c.pid for c in children)))


def test_a_thousand_connections_that_bring_nothing_keep_nobody_waiting(tmp_path: Path) -> None:
    half_a_body = upload(picture())[:-20]
    sent = [b"", HALF_A_HEADER, half_a_body] * 333 + [b""]
    with running_server(tmp_path, ocr_header_timeout_s=60) as server:
        before = memory(server.pid)[0]
        with held(server, *sent) as connections:
            server.wait_for(lambda: server.metric("ocr_queue_pages") == 333)
            slowest = max(seconds_of_a_good_request(server) for _ in range(10))
            print(
                f"{len(sent)} connections, {memory(server.pid)[0] - before} MiB, the slowest of "
                f"ten good requests took {slowest:.3f} s"
            )
            assert slowest < 1
            assert server.get("/livez").elapsed.total_seconds() < 1
            for connection in connections:
                connection.settimeout(0)
                with pytest.raises(BlockingIOError):  # all of them are still there
                    connection.recv(1)


def test_more_connections_than_descriptors_end_the_longest_idle_ones(tmp_path: Path) -> None:
    few = ("prlimit", "--nofile=300:600")  # takes all 600, and half of what is not kept for others
    with (
        running_server(tmp_path, prefix=few) as server,
        held(server, HALF_A_HEADER, *[b""] * 300) as connections,
    ):
        refused = connections[0].recv(200)
        assert refused.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in refused
        assert connections[1].recv(100).startswith(b"HTTP/1.1 503 ")
        assert seconds_of_a_good_request(server) < 1
        connections[-1].settimeout(0)
        with pytest.raises(BlockingIOError):
            connections[-1].recv(1)
        assert server.metric('ocr_connections_refused_total{status="503"}') >= 2
        assert "Too many open files" not in server.log
