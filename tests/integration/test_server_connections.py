"""Connections that end too early or go on too soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from ocr_server import OcrServer, picture, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), {"page_seconds": 2}, ocr_header_timeout_s=1
    ) as server:
        yield server


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
