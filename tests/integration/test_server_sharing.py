"""Several engines, equal pages, and work that nobody wants any more: told by the engine's own count
of its pages."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from ocr_server import OcrServer, pdf, picture, running_server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def gone_after(server: OcrServer, document: bytes, seconds: float) -> None:
    """A client that sends a document and closes the connection."""
    with pytest.raises(httpx.ReadTimeout):
        server.read(document, timeout=httpx.Timeout(10, read=seconds))


def test_pages_are_read_side_by_side(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 1}, ocr_engine_workers=3) as server:
        server.wait_for(lambda: len(server.children("engine")) == 3)
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 3)
        began = time.monotonic()
        answer = server.read(pdf(6)).json()
        assert answer["status"] == "success"
        assert time.monotonic() - began < 5  # one after the other: 6 s
        assert [page["page"] for page in answer["pages"]] == [1, 2, 3, 4, 5, 6]


def test_a_crash_costs_its_page_and_the_neighbours_go_on(tmp_path: Path) -> None:
    script = {"page_seconds": 0.3, "crash_on_page": 2}
    with running_server(tmp_path, script, ocr_engine_workers=2) as server:
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 2)
        answer = server.read(pdf(6)).json()
        assert answer["status"] == "partial"
        assert [page["status"] for page in answer["pages"]].count("failed") == 1
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 2)
        assert server.get("/livez").status_code == 200


def test_with_one_engine_lost_the_other_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_engine_workers=2) as server:
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 2)
        os.kill(server.children("engine")[0], signal.SIGKILL)
        for side in (40, 41, 42):
            assert server.get("/readyz").status_code == 200
            assert server.get("/livez").status_code == 200
            assert server.read(picture(side)).status_code == 200
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 2)


def test_two_equal_documents_at_once_are_read_once(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with running_server(tmp_path, {"page_seconds": 0.5, "text": "{count}"}) as server:
        first, second = pool.map(lambda _: server.read(picture()), range(2))
        assert first.json()["text"] == second.json()["text"] == "1"
        assert sorted([first.json()["cached"], second.json()["cached"]]) == [False, True]
        kept = server.read(picture()).json()
        assert (kept["text"], kept["cached"], kept["timings"]["infer_ms"]) == ("1", True, 0)
        assert server.read(picture(), data={"dpi": "300"}).json()["text"] == "2"
        anew = server.read(picture(), headers={"Cache-Control": "no-store"}).json()
        assert (anew["text"], anew["cached"]) == ("3", False)
        assert server.read(picture()).json()["text"] == "1"  # and it was not kept


def test_a_client_that_leaves_takes_its_pages_with_it(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 0.2, "text": "{count}"}) as server:
        gone_after(server, pdf(50), 1.0)
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 0, 5)
        read = int(server.read(picture()).json()["text"])
        assert read < 15
        time.sleep(1)
        assert int(server.read(picture(50, 50)).json()["text"]) == read + 1


def test_a_long_page_that_nobody_wants_is_ended(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 30}) as server:
        gone_after(server, picture(), 2.0)
        abandoned = 'ocr_worker_restarts_total{reason="abandoned",worker="engine"}'
        server.wait_for(lambda: server.metric(abandoned) == 1, 10)
        server.wait_ready()
        assert server.get("/livez").status_code == 200


def test_an_engine_that_looks_stops_by_itself_when_nobody_wants_its_page(tmp_path: Path) -> None:
    script = {"phases": [{"name": "load_model", "seconds": 3}], "stops_by_itself": True}
    with running_server(tmp_path, {**script, "page_seconds": 30}) as server:
        engine = server.child("engine")
        gone_after(server, picture(), 2.0)
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 0, 2.9)
        assert server.child("engine") == engine


def test_who_joined_a_page_has_it_when_the_first_leaves(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with running_server(tmp_path, {"page_seconds": 4}) as server:
        leaving = pool.submit(gone_after, server, picture(), 2.0)
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 1)
        joined = pool.submit(server.read, picture())
        leaving.result()
        assert joined.result().status_code == 200


def test_overload_is_refused_at_once_and_costs_no_memory(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with running_server(tmp_path, {"page_seconds": 3}, ocr_queue_max_pages=4) as server:
        busy = [pool.submit(server.read, pdf(2, side)) for side in (100, 101)]
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 4)
        before = resident(server)
        took = []
        for _ in range(60):
            began = time.monotonic()
            refused = server.read(picture())
            took.append(time.monotonic() - began)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_full")
            assert int(refused.headers["Retry-After"]) >= 1
        took.sort()
        print(f"refused in {took[30] * 1000:.1f} ms (median), {took[-1] * 1000:.1f} ms at most")
        assert resident(server) - before < 8 << 20
        assert {one.result().status_code for one in busy} == {200}


def resident(server: OcrServer) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
