"""A browser and the servers whose page at `/` it shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser import Visit, chromium, visit
from ocr_server import OcrServer, running_server
from pages import tessdata
from playwright.sync_api import Browser

MAX_BYTES = 600_000
MARKUP = "<img src=x onerror=alert(1)> & <b>bold</b>"
_TEXT = f"The first line\n{MARKUP}\nPage {{count}}"


def file(name: str, content: bytes) -> dict[str, Any]:
    """A file to choose."""
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": _TEXT, "page_seconds": 0.4, "confidence": 0.8},
        ocr_max_upload_bytes=MAX_BYTES,
        ocr_max_pages_async=5,
        ocr_max_pixels=1_000_000,
        ocr_engine_workers=1,
    ) as server:
        yield server


@pytest.fixture(scope="module")
def tesseract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    tessdata()
    home = tmp_path_factory.mktemp("tesseract")
    with running_server(home, ocr_model="tesseract") as server:
        yield server


@pytest.fixture
def tab(browser: Browser, server: OcrServer) -> Iterator[Visit]:
    with visit(browser, server.url) as tab:
        yield tab
