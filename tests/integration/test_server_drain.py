"""SIGTERM under load: what was accepted is answered, what comes too late is told so."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from ocr_server import OcrServer, pdf, picture, refusal, running_server

CLIENTS = 12


def test_a_drain_under_load_loses_nothing(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, {"page_seconds": 0.1}, ocr_lame_duck_s=1.5) as server,
        ThreadPoolExecutor(CLIENTS + 1) as pool,
    ):
        clients = [pool.submit(ask_until_refused, server, 1 + n % 3) for n in range(CLIENTS)]
        server.wait_for(lambda: server.metric("ocr_queue_pages") >= CLIENTS)
        slow = pool.submit(upload_slowly, server, 1.0)
        time.sleep(0.3)
        server.terminate()
        time.sleep(0.2)
        ready = server.get("/readyz")
        assert (ready.status_code, ready.json()["reason"]) == (503, "draining")
        assert ready.headers["Connection"] == "close"
        outcomes = [outcome for client in clients for outcome in client.result()]
        assert slow.result() == 200
        assert server.exit_code() == 0
        assert server.left_behind == []
    assert outcomes.count(200) >= CLIENTS
    # Nothing but a whole answer, a clear refusal, or a closed port.
    assert set(outcomes) <= {200, 503, "refused"}


def ask_until_refused(server: OcrServer, pages: int) -> list[int | str]:
    outcomes: list[int | str] = []
    while not outcomes or outcomes[-1] == 200:
        try:
            # A connection each, as a Service gives; a kept one may be closed under a request.
            answer = httpx.post(
                f"{server.url}/ocr",
                files={"file": ("a.pdf", pdf(pages))},
                headers={"Cache-Control": "no-store"},
                timeout=30,
                trust_env=False,
            )
        except httpx.ConnectError:
            outcomes.append("refused")
        else:
            outcomes.append(answer.status_code)
            if answer.status_code == 200:
                assert [page["status"] for page in answer.json()["pages"]] == ["ok"] * pages
    return outcomes


def upload_slowly(server: OcrServer, seconds: float) -> int:
    """One that was begun before the signal and is whole after it."""

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        time.sleep(seconds)
        yield picture() + b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    url = f"{server.url}/ocr"
    return httpx.post(url, content=body(), headers=headers, trust_env=False).status_code


def test_work_in_flight_ends_before_the_process(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, {"page_seconds": 0.6}, ocr_lame_duck_s=0.3) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        long = pool.submit(server.read, pdf(4))
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 1)
        server.terminate()
        time.sleep(0.8)
        late = httpx.post(
            f"{server.url}/ocr", files={"file": ("a.png", picture())}, trust_env=False
        )
        assert refusal(late) == (503, "draining")
        assert long.result().status_code == 200
        assert server.exit_code() == 0
        assert server.left_behind == []


def test_a_drain_ends_at_its_timeout(tmp_path: Path) -> None:
    with (
        running_server(
            tmp_path, {"pages": [{"hang": True}]}, ocr_lame_duck_s=0, ocr_drain_timeout_s=1
        ) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        pool.submit(server.read, picture())
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 1)
        began = time.monotonic()
        server.terminate()
        assert server.exit_code() == 0
        assert time.monotonic() - began < 12


def test_ctrl_c_drains_without_a_lame_duck(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_lame_duck_s=60) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
