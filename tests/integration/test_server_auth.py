"""Keys as files: who is let in, what the others are told, rotation without a restart."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from ocr_server import OcrServer, picture, running_server


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"), ready=False, ocr_auth_mode="Token", ocr_keys_dir=keys
    ) as server:
        server.wait_for(lambda: server.get("/startupz").status_code == 200)
        yield server


def ask(server: OcrServer, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    return server.read(picture(), headers=headers).status_code


def test_without_keys_nobody_is_let_in_and_the_server_says_why(server: OcrServer) -> None:
    assert ask(server, "Bearer anything") == 401
    assert ask(server, "Bearer") == 401
    assert [item["code"] for item in server.get("/startupz").json()["warnings"]] == [
        "secret_missing"
    ]
    assert server.get("/readyz").json() == {"ready": False, "reason": "no keys"}
    assert server.get("/health").json()["status"] == "degraded"


def test_keys_are_taken_up_rotated_and_withdrawn_while_it_runs(
    server: OcrServer, keys: Path
) -> None:
    (keys / "..data").mkdir()  # as the kubelet mounts a Secret
    (keys / "..data" / "alice").write_text("first\n")
    (keys / "alice").symlink_to("..data/alice")
    server.wait_for(lambda: ask(server, "Bearer first") == 200, 5)
    server.wait_ready()
    assert ask(server, "bearer first") == 200
    assert ask(server, "token first") == 200
    for wrong in (None, "first", "Bearer", "Bearer second", "Basic first", "Bearer first second"):
        assert ask(server, wrong) == 401
    (keys / "..data" / "alice").write_text("second\n")
    server.wait_for(lambda: ask(server, "Bearer second") == 200, 5)
    assert ask(server, "Bearer first") == 401


def test_a_key_may_have_any_letters(server: OcrServer, keys: Path) -> None:
    (keys / "carol").write_text("voilà ключ\n", "utf-8")
    header = {"Authorization": "Bearer voilà ключ".encode()}  # as curl sends it
    server.wait_for(lambda: server.read(picture(), headers=header).status_code == 200, 5)


def test_a_refusal_says_how_to_ask_and_reads_no_body(server: OcrServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(
            b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        answer = sock.recv(4096).lower()
    assert b" 401 " in answer
    assert b"www-authenticate: bearer" in answer
    assert b"x-request-id: " in answer


def test_health_routes_need_no_key(server: OcrServer) -> None:
    for route in ("/livez", "/startupz", "/health", "/metrics", "/docs", "/openapi.json", "/"):
        assert server.get(route).status_code == 200
