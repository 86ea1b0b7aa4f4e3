"""Several engines, equal pages, and work that nobody wants any more: told by the engine's own count
of its pages."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from ocr_server import OcrServer, pdf, picture, refusal, running_server


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    """The text of a page is how many the engine has read with it."""
    script = {"page_seconds": 0.2, "text": "{count}"}
    with running_server(tmp_path_factory.mktemp("counting"), script) as server:
        yield server


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    """A server with three engines."""
    home = tmp_path_factory.mktemp("three")
    with running_server(home, {"page_seconds": 0.5}, ocr_engine_workers=3) as server:
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 3)
        yield server


@contextmanager
def waiting_client(server: OcrServer, document: bytes) -> Iterator[None]:
    """A client that has sent a document, of which a page is read, and leaves at the end."""
    request = server.http.build_request("POST", "/ocr", files={"file": ("page.png", document)})
    with closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("POST", "/ocr", request.read(), dict(request.headers))
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 1)
        yield


def test_pages_are_read_side_by_side(three: OcrServer, pool: ThreadPoolExecutor) -> None:
    assert len(three.children("engine")) == 3
    request = pool.submit(three.read, pdf(9))
    three.wait_for(lambda: three.metric("ocr_inflight_pages") == 3)
    answer = request.result().json()
    assert answer["status"] == "success"
    assert [page["page"] for page in answer["pages"]] == list(range(1, 10))


def test_a_crash_costs_its_page_and_the_neighbours_go_on(tmp_path: Path) -> None:
    script = {"page_seconds": 0.3, "crash_on_page": 2}
    with running_server(tmp_path, script, ocr_engine_workers=2) as server:
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 2)
        answer = server.read(pdf(6)).json()
        assert answer["status"] == "partial"
        assert [page["status"] for page in answer["pages"]].count("failed") == 1
        server.wait_for(lambda: server.metric("ocr_engines_ready") == 2)
        assert server.get("/livez").status_code == 200


def test_with_one_engine_lost_the_others_go_on(three: OcrServer) -> None:
    os.kill(three.children("engine")[0], signal.SIGKILL)
    for side in (40, 41, 42):
        assert three.get("/readyz").status_code == 200
        assert three.get("/livez").status_code == 200
        assert three.read(picture(side)).status_code == 200
    three.wait_for(lambda: three.metric("ocr_engines_ready") == 3)


def test_two_equal_documents_at_once_are_read_once(
    counting: OcrServer, pool: ThreadPoolExecutor
) -> None:
    before = int(counting.read(picture(41)).json()["text"])
    first, second = pool.map(lambda _: counting.read(picture()).json(), range(2))
    assert first["text"] == second["text"] == str(before + 1)
    assert sorted([first["cached"], second["cached"]]) == [False, True]
    kept = counting.read(picture()).json()
    assert (kept["text"], kept["cached"], kept["timings"]["infer_ms"]) == (first["text"], True, 0)
    other = counting.read(picture(), data={"dpi": "300"}).json()
    assert other["text"] == str(before + 2)
    anew = counting.read(picture(), headers={"Cache-Control": "no-store"}).json()
    assert (anew["text"], anew["cached"]) == (str(before + 3), False)
    assert counting.read(picture()).json()["text"] == first["text"]  # and it was not kept


def test_a_client_that_leaves_takes_its_pages_with_it(counting: OcrServer) -> None:
    before = int(counting.read(picture(51)).json()["text"])
    read = counting.metric("ocr_pages_total")
    with waiting_client(counting, pdf(50)):
        counting.wait_for(lambda: counting.metric("ocr_pages_total") >= read + 2)
    counting.wait_for(lambda: counting.metric("ocr_queue_pages") == 0, 5)
    after = int(counting.read(picture(52)).json()["text"])
    assert after - before < 15
    time.sleep(0.5)
    assert int(counting.read(picture(53)).json()["text"]) == after + 1


ABANDONED = 'ocr_worker_restarts_total{reason="abandoned",worker="engine"}'


def test_a_long_page_that_nobody_wants_is_ended(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 30}) as server:
        with waiting_client(server, picture()):
            pass
        server.wait_for(lambda: server.metric(ABANDONED) == 1, 10)
        server.wait_ready()
        assert server.get("/livez").status_code == 200


def test_an_engine_that_looks_stops_by_itself_when_nobody_wants_its_page(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 30, "stops_by_itself": True}) as server:
        engine = server.child("engine")
        with waiting_client(server, picture()):
            pass
        server.wait_for(lambda: server.metric("ocr_inflight_pages") == 0, 10)
        assert (server.child("engine"), server.metric(ABANDONED)) == (engine, 0)


def test_who_joined_a_page_has_it_when_the_first_leaves(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with running_server(tmp_path, {"page_seconds": 2}) as server:
        with waiting_client(server, picture(40, 30)):
            joined = pool.submit(server.read, picture(40, 30))
            server.wait_for(lambda: server.metric("ocr_queue_pixels") == 2 * 40 * 30)
        assert joined.result().status_code == 200


def test_overload_is_refused_at_once_and_costs_no_memory(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    script = {"pages": [{"seconds": 4}]}
    with running_server(tmp_path, script, ocr_queue_max_pages=4) as server:
        busy = [pool.submit(server.read, pdf(2, side)) for side in (100, 101)]
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 4)
        before = resident(server)
        took = []
        for _ in range(60):
            began = time.monotonic()
            refused = server.read(picture())
            took.append(time.monotonic() - began)
            assert refusal(refused) == (503, "queue_full")
            assert int(refused.headers["Retry-After"]) >= 1
        took.sort()
        print(f"refused in {took[30] * 1000:.1f} ms (median), {took[-1] * 1000:.1f} ms at most")
        assert took[30] < 0.05
        assert resident(server) - before < 8 << 20
        assert {one.result().status_code for one in busy} == {200}


def resident(server: OcrServer) -> int:
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_pages_that_have_their_own_text_wait_for_their_turn_too(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with running_server(tmp_path) as server:
        wanted = {"pdf_mode": "text"}
        long = pool.submit(server.read, pdf(100, 1000), data=wanted, timeout=120)
        server.wait_for(lambda: server.metric("ocr_queue_pages") > 50)
        assert server.read(picture()).status_code == 200
        assert not long.done()
        assert server.metric("ocr_queue_pages") > 20  # most of it was still to come
        assert long.result().status_code == 200
