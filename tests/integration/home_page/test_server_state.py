"""What the page at `/` shows of its server: loading, busy, ending, gone and back again."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import visit
from home_page import file
from ocr_server import OcrServer, pdf, picture, refusal, running_server
from playwright.sync_api import Browser, expect
from wire import wire

from ocr_inference.sources.space import MAX_REST_BYTES


def test_documents_wait_for_a_model_that_loads(browser: Browser, tmp_path: Path) -> None:
    script = {
        "phases": [{"name": "download", "seconds": 0.2}, {"name": "load_model", "seconds": 6}]
    }
    with (
        running_server(tmp_path, script, ready=False) as server,
        visit(browser, server.url) as tab,
    ):
        expect(tab.page.locator("#server-title")).to_have_text("The model is loading")
        expect(tab.page.locator("#server-phases")).to_contain_text("load model")
        tab.choose(file("early.png", picture()))
        tab.wait_phase("retry")
        tab.judge("loading", "light", "dark")
        tab.wait_phase("done")
        expect(tab.page.locator("#server-notice")).to_be_hidden()


def test_a_model_that_cannot_be_loaded_is_told_of(browser: Browser, tmp_path: Path) -> None:
    script = {"phases": [{"name": "load_model", "fail": "The weights are <b>gone</b>."}]}
    with (
        running_server(tmp_path, script, ready=False) as server,
        visit(browser, server.url) as tab,
    ):
        expect(tab.page.locator("#server-title")).to_have_text("The model could not be loaded")
        expect(tab.page.locator("#server-text")).to_contain_text("The weights are <b>gone</b>.")
        tab.judge("failed")


def test_a_full_queue_is_waited_for(browser: Browser, tmp_path: Path) -> None:
    # The room is the least there can be: the largest document and what a body has beside it.
    room = {"ocr_max_upload_bytes": 1_000_000, "ocr_queue_max_bytes": 1}
    with running_server(tmp_path, **room) as server, visit(browser, server.url) as tab:
        # Two uploads that were begun and do not go on have all of it.
        with begun(server, 1_000_000), begun(server, MAX_REST_BYTES):
            server.wait_for(lambda: server.metric("ocr_queue_pages") == 2)
            assert refusal(server.submit(picture())) == (503, "queue_full")
            tab.choose(file("late.png", picture()))
            tab.wait_phase("retry")
            expect(tab.page.locator("#status")).to_have_text(re.compile(r"Sent again in \d+ s"))
            expect(tab.page.locator("#notices")).to_contain_text("The server is busy")
            tab.judge("busy")
        tab.wait_phase("done")


@contextmanager
def begun(server: OcrServer, size: int) -> Iterator[None]:
    """An upload that announces so many bytes and sends none of them."""
    head = "POST /ocr HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{head}content-length: {size}\r\n\r\n".encode())
        yield


def test_a_lost_connection_is_taken_up_again(browser: Browser, server: OcrServer) -> None:
    with wire(server.port) as line, visit(browser, line.url) as tab:
        tab.choose(file("five.pdf", pdf(5)))
        tab.page.wait_for_selector('.tile[data-state="ok"]')
        line.cut()
        tab.wait_phase("offline")
        expect(tab.page.locator("#status")).to_contain_text("The server cannot be reached")
        tab.judge("offline")
        line.mend()
        tab.wait_phase("done")
        assert tab.count('.tile[data-state="ok"]') == 5


def test_a_server_that_ends_is_told_of_and_its_successor_reads(
    browser: Browser, tmp_path: Path
) -> None:
    slow = {"page_seconds": 3}
    with (
        running_server(tmp_path / "first", slow, ocr_lame_duck_s=30) as first,
        running_server(tmp_path / "second", {"text": "from the second"}) as second,
        wire(first.port) as line,
        visit(browser, line.url) as tab,
    ):
        tab.choose(file("page.png", picture()))
        tab.wait_phase("reading")
        first.terminate()
        expect(tab.page.locator("#server-title")).to_have_text(
            "This server is shutting down", timeout=30_000
        )
        tab.judge("draining")
        line.cut()
        line.mend(second.port)
        # Jobs of a server without a bucket are its own; the document is still in the tab.
        tab.wait_phase("failed", "done")
        if tab.count('#document[data-phase="failed"]'):
            expect(tab.page.locator("#notices")).to_contain_text("no longer knows")
            tab.page.get_by_role("button", name="Try again").click()
        tab.wait_phase("done")
