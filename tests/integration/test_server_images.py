"""Pictures of the page's blocks in the JSON answer: `include=images`."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ocr_server import OcrServer, refusal, running_server
from PIL import Image

WIDTH, HEIGHT = 400, 300
PICTURES = [
    ["image", [0.5, 0.0, 1.0, 0.5]],
    ["chart", [0.0, 0.5, 0.5, 1.0]],
    ["table", [0.5, 0.5, 1.0, 1.0]],
    ["seal", [0.9, 0.9, 1.5, 1.5]],  # more than is on the page
    ["image", [1.0, 0.0, 1.2, 0.5]],  # nothing of it is
]
ASKED = {"include": "blocks,images"}


def page(seed: int = 0) -> Image.Image:
    """A photograph at the top right, and at the bottom left what was drawn with one colour."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    down, across = np.mgrid[: HEIGHT // 2, : WIDTH // 2]
    photograph = np.stack((across, down, (across + down) / 2 + 50 * seed), axis=2)
    pixels[: HEIGHT // 2, WIDTH // 2 :] = photograph
    pixels[HEIGHT // 2 + 20 :, : WIDTH // 2] = (10, 200, 30)
    return Image.fromarray(pixels)


def saved(*pages: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    if len(pages) > 1:
        options |= {"save_all": True, "append_images": pages[1:]}
    pages[0].save(buffer, kind, **options)
    return buffer.getvalue()


def picture(entry: dict[str, Any]) -> Image.Image:
    data = Image.open(io.BytesIO(base64.b64decode(entry["base64"])))
    assert Image.MIME[str(data.format)] == entry["media_type"]
    assert data.size == (entry["width"], entry["height"])
    return data.convert("RGB")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(tmp_path_factory.mktemp("images"), {"pictures": PICTURES}) as running:
        yield running


def check(answer: dict[str, Any]) -> None:
    """That the answer has the pictures of `page()`, and nothing else is one."""
    (found,) = answer["pages"]
    photo, drawing, seal = found["images"]
    assert [block["type"] for block in found["blocks"]][1:] == [kind for kind, _ in PICTURES]
    assert [(entry["block"], entry["type"]) for entry in found["images"]] == [
        (2, "image"),
        (3, "chart"),
        (5, "seal"),
    ]
    assert photo["bbox"] == found["blocks"][1]["bbox"] == [200, 0, 400, 150]
    assert (photo["media_type"], drawing["media_type"]) == ("image/jpeg", "image/png")
    whole = page()
    assert picture(drawing).tobytes() == whole.crop((0, 150, 200, 300)).tobytes()
    original = np.asarray(whole.crop((200, 0, 400, 150)), int)
    assert np.abs(np.asarray(picture(photo), int) - original).mean() < 4
    assert picture(seal).size == (40, 30)
    assert answer["warnings"] == []


def test_the_pictures_are_cut_out_where_they_are_asked_for(server: OcrServer) -> None:
    plain = server.read(saved(page())).json()
    assert "images" not in plain["pages"][0]
    # The page is in the cache now, and was read without them.
    answer = server.read(saved(page()), data=ASKED).json()
    assert answer["cached"] is True
    check(answer)


def test_they_are_cut_from_the_page_as_it_was_turned(server: OcrServer) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = page().rotate(90, expand=True)  # against the clock
    check(server.read(saved(turned, exif=exif), data=ASKED).json())


def test_other_formats_have_none(server: OcrServer) -> None:
    for output in ("text", "markdown"):
        answer = server.read(saved(page()), data={**ASKED, "output": output})
        assert answer.status_code == 200
        assert len(answer.content) < 1000


def test_a_job_has_them_in_its_result_and_what_is_kept_of_it(server: OcrServer) -> None:
    job = server.submitted(saved(page()), data={**ASKED, "output": "text"})
    events = server.get(f"{job}/events").text
    assert "event: done" in events
    assert "base64" not in events and '"images"' not in events
    for _ in range(2):
        check(server.get(f"{job}/result?output=json").json())
    (kept,) = (server.home / "output").rglob(f"*{job.rpartition('/')[2]}*.json")
    check(json.loads(kept.read_text())["result"])
    assert server.http.delete(job).status_code == 204


def test_a_page_of_a_pdf_is_cut_at_the_resolution_that_it_was_read_at(server: OcrServer) -> None:
    document = saved(page(), page(1), kind="PDF", resolution=72)
    answer = server.read(document, data={**ASKED, "dpi": "144", "pages": "2"}).json()
    (only,) = answer["pages"]
    photo, drawing, _ = only["images"]
    assert (photo["width"], photo["height"]) == (WIDTH, HEIGHT)
    red, green, blue = np.asarray(picture(drawing))[-20, 20]
    assert red < 60 and green > 150 and blue < 80


def test_an_answer_has_only_so_many_and_says_what_is_left_out(tmp_path: Path) -> None:
    each = [["image", [n / 60, 0.5, (n + 1) / 60, 1.0]] for n in range(60)]
    with running_server(tmp_path, {"pictures": each}) as server:
        document = saved(page(), page(1), page(2), kind="TIFF")
        answer = server.read(document, data={"include": "images"}).json()
        job = server.submitted(document, data={"include": "images"})
        assert "event: done" in server.get(f"{job}/events").text
        result = server.get(f"{job}/result").json()
        assert server.http.delete(job).status_code == 204
        assert server.left_behind == []
    for body in (answer, result):
        counts = [
            sum(entry["base64"] is not None for entry in found["images"]) for found in body["pages"]
        ]
        assert counts == [60, 40, 0]
        assert [len(found["images"]) for found in body["pages"]] == [60, 60, 60]
        (warning,) = body["warnings"]
        assert warning["code"] == "images_left_out"
        assert warning["message"].startswith("80 pictures are left out")
        last = body["pages"][2]["images"][59]
        assert last["media_type"] is last["width"] is last["base64"] is None


def test_the_bytes_of_an_answers_pictures_are_bounded_and_large_ones_made_smaller(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (3000, 2000, 3), np.uint8)
    document = saved(Image.fromarray(noise), kind="JPEG", quality=30)
    whole = [["image", [0.0, 0.0, 1.0, 1.0]]] * 20
    with running_server(tmp_path, {"pictures": whole}) as server:
        answer = server.read(document, data={"include": "images"})
        assert answer.status_code == 200, answer.text
        assert server.left_behind == []
    (found,) = answer.json()["pages"]
    kept = [entry for entry in found["images"] if entry["base64"] is not None]
    assert 0 < len(kept) < len(found["images"]) == 20
    assert {(entry["width"], entry["height"]) for entry in kept} == {(1067, 1600)}
    assert sum(len(base64.b64decode(entry["base64"])) for entry in kept) <= 8 * 1024 * 1024
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["images_left_out"]


def test_a_result_whose_document_is_gone_has_its_text_and_no_pictures(server: OcrServer) -> None:
    job = server.submitted(saved(page()), data={"include": "images"})
    assert "event: done" in server.get(f"{job}/events").text
    (document,) = (server.home / "tmp").rglob(f"*{job.rpartition('/')[2]}*input")
    document.unlink()
    assert server.get(f"{job}/result?output=text").status_code == 200
    assert refusal(server.get(f"{job}/result")) == (503, "storage_unavailable")
