"""Uploads that together are more than the disk has room for."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ocr_server import OcrServer, picture, refusal, running_server, small_disk

MAX_BYTES = 600_000
"""The room is this and what one body may have beside its document."""
HEAD = (
    b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: %d\r\n\r\n"
)
FILE_PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        ocr_max_upload_bytes=MAX_BYTES,
        ocr_queue_max_bytes=MAX_BYTES,
    ) as server:
        yield server
        assert server.left_behind == []


@pytest.fixture
def slow(server: OcrServer) -> Iterator[socket.socket]:
    """An upload that has announced most of the room and keeps it."""
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(HEAD % 590_000 + FILE_PART)
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 1)
        yield sock
    server.wait_for(lambda: server.metric("ocr_queue_pages") == 0)


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert int(answer.headers["Retry-After"]) >= 1
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.usefixtures("slow")
def test_an_upload_without_room_is_refused_before_it_is_sent(server: OcrServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        sock.sendall(HEAD % 300_000)
        answer = sock.recv(4096)
    assert b" 503 " in answer and b"retry-after: " in answer.lower()
    assert server.read(picture()).status_code == 200  # a small one has room


@pytest.mark.usefixtures("slow")
def test_an_upload_of_unknown_length_is_refused_when_the_room_ends(server: OcrServer) -> None:
    def chunks() -> Iterator[bytes]:
        yield FILE_PART
        for _ in range(20):
            yield bytes(15_000)

    form = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = server.http.post("/ocr", content=chunks(), headers=form)
    assert refused(answer) == (503, "queue_full")


def test_one_client_whose_uploads_do_not_end_leaves_room_for_others(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    as_client = {}
    for name in ("greedy", "other"):
        (keys / name).write_text(f"key of {name}")
        as_client[name] = {"Authorization": f"Bearer key of {name}"}
    # Of a room of ten uploads one client has seven and a half.
    each = 100_000
    room = {"ocr_max_upload_bytes": each, "ocr_queue_max_bytes": 10 * each}
    with (
        running_server(tmp_path, ocr_auth_mode="Token", ocr_keys_dir=keys, **room) as server,
        contextlib.ExitStack() as begun,
    ):
        with_key = HEAD.replace(b"Host: x", b"Host: x\r\nAuthorization: Bearer key of greedy")
        for _ in range(7):
            sock = begun.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            sock.sendall(with_key % each + FILE_PART)
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 7)
        large = picture(180, 180, "BMP")
        assert len(large) > 0.9 * each
        for send in (server.read, server.submit):
            assert refused(send(large, headers=as_client["greedy"])) == (503, "queue_full")
            assert send(picture(), headers=as_client["greedy"]).status_code in (200, 202)
            assert send(large, headers=as_client["other"]).status_code in (200, 202)
        begun.close()
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 0)
        assert server.read(large, headers=as_client["greedy"]).status_code == 200


def test_a_data_url_in_a_form_may_be_as_large_as_a_file(tmp_path: Path) -> None:
    limit = 2_000_000
    with running_server(tmp_path, ocr_max_upload_bytes=limit, ocr_queue_max_bytes=limit) as server:
        for route, status in (("/ocr", 200), ("/v1/jobs", 202)):
            document = picture().ljust(limit, b"\0")
            over = server.http.post(route, files=as_data_url(document + b"\0"))
            assert refusal(over) == (413, "file_too_large")
            assert server.http.post(route, files=as_data_url(document)).status_code == status


def as_data_url(document: bytes) -> dict[str, tuple[None, bytes]]:
    return {"image_url": (None, b"data:image/png;base64," + base64.b64encode(document))}


def test_room_comes_back_with_every_end_of_an_upload(server: OcrServer) -> None:
    document = picture(420, 420, "BMP")
    assert len(document) > MAX_BYTES * 0.8
    for _ in range(3):
        assert server.read(document).status_code == 200
        assert server.read(b"x" * 590_000).status_code == 415


def test_a_slow_upload_is_part_of_the_time_of_its_request(tmp_path: Path) -> None:
    def slowly() -> Iterator[bytes]:
        yield FILE_PART
        time.sleep(1.2)
        yield picture() + b"\r\n--b--\r\n"

    form = {"Content-Type": "multipart/form-data; boundary=b"}
    script = {"page_seconds": 1.4}
    with running_server(tmp_path, script, ocr_sync_timeout_s=2) as server:
        late = server.http.post("/ocr", content=slowly(), headers=form)
        assert refusal(late) == (504, "deadline_exceeded")


def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    with running_server(tmp_path, prefix=small_disk(tmp_path / "tmp", "300k")) as server:
        upload = server.read(os.urandom(400_000))
        assert refused(upload) == (503, "storage_full")
        # Small as a file, and 480 kB as a page.
        page = server.read(picture(400, 400))
        assert refusal(page) == (503, "storage_full")
        assert server.read(picture()).status_code == 200
