"""Answers that were kept: how many one client may have untaken, and who waits for them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from ocr_server import OcrServer, pdf, refusal, running_server

from ocr_inference.results.slots import MOST

LONG = {"text": "\n".join(f"line {number} " + "x" * 100 for number in range(800))}
PAGES = 20
"""Their result is more than the kernel takes for a connection."""

JOB_HEAD = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: %d\r\n\r\n"
)
DISCONNECTS = 'ocr_cancelled_total{cause="disconnect"}'


@contextlib.contextmanager
def server_with_job(home: Path) -> Iterator[tuple[OcrServer, str]]:
    with running_server(home, LONG, ocr_lame_duck_s=0) as server:
        job = server.http.post("/v1/jobs", files={"file": ("a.pdf", pdf(PAGES))}).json()["id"]
        server.wait_for(lambda: server.get(f"/v1/jobs/{job}").json()["status"] == "succeeded")
        yield server, job


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OcrServer, str]]:
    with server_with_job(tmp_path_factory.mktemp("server")) as pair:
        yield pair


def asked(server: OcrServer, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    connection.sendall(request)
    return connection


def asked_for(server: OcrServer, path: str) -> socket.socket:
    return asked(server, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


def test_a_client_has_so_many_answers_untaken(finished: tuple[OcrServer, str]) -> None:
    server, job = finished
    path = f"/v1/jobs/{job}/result"
    with contextlib.ExitStack() as untaken:
        for what in ["result", "events"] * (MOST // 2):
            connection = untaken.enter_context(asked_for(server, f"/v1/jobs/{job}/{what}"))
            assert connection.recv(12) == b"HTTP/1.1 200"
        late = server.get(path)
        assert refusal(late) == (429, "too_many_answers")
        assert int(late.headers["Retry-After"]) > 0
        assert server.get(f"/v1/jobs/{job}").status_code == 200
    assert server.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/jobs/{job}/pages/1/image", "/v1/jobs/{job}/result?output=pdf"]
)
def test_the_work_of_a_client_that_is_gone_is_ended(
    finished: tuple[OcrServer, str], path: str
) -> None:
    server, job = finished
    with stopped_decoders(server):
        leaves(server, asked_for(server, path.format(job=job)))


def test_a_document_is_not_looked_at_for_a_client_that_is_gone(
    finished: tuple[OcrServer, str],
) -> None:
    server, _ = finished
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
        + pdf(1)
        + b"\r\n--b--\r\n"
    )
    with stopped_decoders(server):
        leaves(server, asked(server, JOB_HEAD % len(body) + body))
    assert server.metric('ocr_jobs{state="queued"}') == 0


@contextlib.contextmanager
def stopped_decoders(server: OcrServer) -> Iterator[None]:
    """Whatever needs a document now takes very long."""
    children = server.children("decode")
    assert children
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):  # ended with the work
                os.kill(child, signal.SIGCONT)


def leaves(server: OcrServer, connection: socket.socket) -> None:
    before = server.metric(DISCONNECTS)
    with connection:
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    server.wait_for(lambda: server.metric(DISCONNECTS) == before + 1, seconds=10)


def test_storing_is_given_up_for_a_client_that_is_gone(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_server(
            tmp_path,
            ocr_s3_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}",
            ocr_s3_bucket="results",
            ocr_s3_access_key="key",
            ocr_s3_secret_key="secret",
        ) as server,
    ):
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
            + pdf(1)
            + b"\r\n--b--\r\n"
        )
        head = JOB_HEAD.replace(b"/v1/jobs", b"/ocr") % len(body)
        leaves(server, asked(server, head + body))


def test_a_drain_waits_for_an_answer_that_is_being_taken(tmp_path: Path) -> None:
    with server_with_job(tmp_path) as (server, job):
        path = f"/v1/jobs/{job}/result"
        size = len(server.get(path).content)
        with asked_for(server, path) as connection:
            assert connection.recv(12) == b"HTTP/1.1 200"
            server.terminate()
            server.wait_for(lambda: "draining" in server.log)
            (told,) = (line for line in server.log_lines if line["message"] == "draining")
            assert told["in_flight"] == 1
            taken = 0
            while data := connection.recv(65536):
                taken += len(data)
            assert taken > size
        assert server.exit_code() == 0


@pytest.mark.parametrize("route", ["/layout-parsing", "/v1/ocr"])
def test_an_answer_for_clients_of_others_is_given_up_too(
    finished: tuple[OcrServer, str], route: str
) -> None:
    server, _ = finished
    pages = 50  # it takes seconds to write what was read
    document = f"data:application/pdf;base64,{b64encode(pdf(pages, len(route))).decode()}"
    named = {"file": document} if "layout" in route else {"document": {"image_url": document}}
    request = server.http.build_request("POST", route, json=named)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    before, read = server.metric(DISCONNECTS), server.metric("ocr_pages_total")
    with asked(server, f"POST {route} HTTP/1.1\r\n{head}\r\n".encode() + request.read()):
        server.wait_for(lambda: server.metric("ocr_pages_total") == read + pages)
    server.wait_for(lambda: server.metric(DISCONNECTS) == before + 1, seconds=10)
    assert server.metric("ocr_queue_pages") == 0
