"""What surrounds a document in its request: chunk headers, trailers, the parts of a form."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from ocr_server import OcrServer, picture, refusal, running_server
from processes import memory

from ocr_inference.http_protocol import MAX_HEADER_BYTES

LIMIT = 200_000
FLOOD_BYTES = 64 * 1024 * 1024

HEAD = (
    b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
TRAILER = b"x: " + b"a" * 60 + b"\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    home = tmp_path_factory.mktemp("server")
    with running_server(home, ocr_max_upload_bytes=LIMIT) as server:
        yield server


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"3\r\n--b\r\n0\r\n", TRAILER * 1000),
        (b"3\r\n--b\r\n0\r\nx: ", b"a" * 64_000),
        (b"1;", b"a" * 64_000),
        (b"", (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 64),
    ],
    ids=["trailers", "a trailer", "a chunk extension", "chunk extensions"],
)
def test_endless_framing_is_refused(server: OcrServer, begin: bytes, more: bytes) -> None:
    before = memory(server.pid)[0]
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(HEAD + begin)
        with pytest.raises(ConnectionError):
            while sent < FLOOD_BYTES:
                connection.sendall(more)
                sent += len(more)
    assert memory(server.pid)[0] - before < 30
    assert server.read(picture()).status_code == 200


def test_the_refusal_of_trailers_arrives(server: OcrServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(HEAD + b"3\r\n--b\r\n0\r\n")
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 1)
        connection.sendall(TRAILER * (MAX_HEADER_BYTES // len(TRAILER) + 1))
        assert connection.recv(1024).startswith(b"HTTP/1.1 431 ")


def test_chunks_of_one_byte_are_a_body(server: OcrServer) -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + picture().ljust(30_000, b"\0")
        + b"\r\n--b--\r\n"
    )
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in form) + b"0\r\nx: trailer\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(HEAD + chunks)
        assert connection.recv(1024).startswith(b"HTTP/1.1 200 ")


def test_the_limit_of_a_document_is_for_the_document_alone(server: OcrServer) -> None:
    fields = {"language": ["en"] * 20, "pages": "1"}
    exactly = picture().ljust(LIMIT, b"\0")
    assert server.read(exactly, data=fields).status_code == 200
    assert refusal(server.read(exactly + b"\0")) == (413, "file_too_large")
