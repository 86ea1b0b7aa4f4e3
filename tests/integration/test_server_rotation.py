"""What the answer says of how a page was turned before it was read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import documents
import pytest
from ocr_server import OcrServer, picture, running_server
from PIL import Image


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(tmp_path_factory.mktemp("rotation")) as running:
        yield running


def turned_pdf() -> bytes:
    return documents.pdf((100, 200), extra="/Rotate 270")


def turned_photo() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "white").save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("document", "form", "size", "rotation"),
    [
        (picture(40, 30), {}, (40, 30), 0),
        (turned_photo(), {}, (30, 40), 90),
        (turned_pdf(), {"dpi": "72"}, (200, 100), 270),
        (turned_pdf(), {"dpi": "72", "pdf_mode": "text"}, (200, 100), 270),
    ],
    ids=["upright", "photo", "pdf", "a pdf's own text"],
)
def test_a_page_says_how_it_was_turned(
    server: OcrServer, document: bytes, form: dict[str, str], size: tuple[int, int], rotation: int
) -> None:
    for cached in (False, True):
        answer = server.read(document, data=form).json()
        (page,) = answer["pages"]
        assert (page["width"], page["height"]) == size
        assert page["rotation"] == rotation
        assert answer["cached"] is cached


def test_a_job_says_it_too_in_its_events_and_in_its_result(server: OcrServer) -> None:
    job = server.submitted(turned_photo())
    events = server.get(f"{job}/events").text
    assert '"rotation":90' in events
    assert server.get(f"{job}/result").json()["pages"][0]["rotation"] == 90


def test_a_page_that_failed_says_it_where_it_was_rendered(tmp_path: Path) -> None:
    script = {"pages": [{"fail": "Not today."}]}
    with running_server(tmp_path, script) as server:
        two = documents.pdf((100, 200), (100, 200), extra="/Rotate 90")
        answer = server.read(two).json()
    assert [page["status"] for page in answer["pages"]] == ["failed", "ok"]
    assert [page["rotation"] for page in answer["pages"]] == [90, 90]
