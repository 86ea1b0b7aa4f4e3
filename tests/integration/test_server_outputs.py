"""Every output format from the real server: what it says, and the headers beside it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documents
import pypdfium2
import pytest
from lxml import etree
from ocr_server import OcrServer, pdf, picture, running_server
from pages import tessdata
from vlm_stub import vlm_stub

from ocr_inference.results.form import OcrForm

EXAMPLES = Path(__file__).parents[2] / "examples/pages"
LYING = "BT /F 20 Tf 20 40 Td (Pay nothing to anybody) Tj ET"
HELVETICA = "/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
SCRIPT = {"text": "Total <&> сум\njumps"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(tmp_path_factory.mktemp("outputs"), SCRIPT) as running:
        yield running


def test_hocr_is_a_file_to_keep_with_the_text_inside(server: OcrServer) -> None:
    answer = server.read(picture(200, 100), name='sc an"é.png', data={"output": "hocr"})
    assert answer.headers["content-type"] == "text/vnd.hocr+html; charset=utf-8"
    disposition = answer.headers["content-disposition"]
    assert re.fullmatch(r"attachment; filename\*=utf-8''[\w%.-]+\.hocr", disposition)
    words = etree.fromstring(answer.content).xpath("//*[@class='ocrx_word']/text()")
    assert words == ["Total", "<&>", "сум", "jumps"]


@pytest.mark.parametrize("accept", ["application/alto+xml", "application/xml"])
def test_alto_can_be_asked_for_by_accept(server: OcrServer, accept: str) -> None:
    answer = server.read(picture(200, 100), headers={"Accept": accept}, data={"language": "ru"})
    assert answer.headers["content-type"] == "application/alto+xml"
    (page,) = etree.fromstring(answer.content).iter("{*}Page")
    assert (page.get("WIDTH"), page.get("HEIGHT"), page.get("LANG")) == ("200", "100", "ru")
    assert [word.get("WC") for word in page.iter("{*}String")] == ["0.9900"] * 4


def test_words_and_times_are_given_when_they_are_asked_for(server: OcrServer) -> None:
    answer = server.read(picture(), data={"include": "words,timings"}).json()
    (page,) = answer["pages"]
    assert page["words"] == []  # this engine knows none
    assert page["timings_ms"].keys() == {"queue_ms", "render_ms", "infer_ms"}
    assert "lines" not in page


@pytest.mark.parametrize("backend", ["native", "vllm"])
def test_finding_the_blocks_is_timed_where_it_is_a_step_of_its_own(
    tmp_path: Path, backend: str
) -> None:
    script = {"layout_seconds": 0.1, "page_seconds": 0.1}
    with (
        vlm_stub() as stub,
        running_server(tmp_path, script, ocr_backend=backend, ocr_vlm_url=stub.url) as server,
    ):
        document, form = pdf(2), {"include": "timings"}
        first = server.read(document, data=form).json()
        again = server.read(document, data=form).json()
        job = server.submitted(pdf(2, side=90), data=form)
        events = server.get(f"{job}/events").text
        result = server.get(f"{job}/result").json()
    for answer in (first, result):
        times = [page["timings_ms"] for page in answer["pages"]]
        assert all(100 <= page["layout_ms"] < page["infer_ms"] - 90 for page in times)
        together = sum(page["layout_ms"] for page in times)
        assert answer["timings"]["layout_ms"] == pytest.approx(together, abs=0.1)
    assert events.count('"layout_ms":') == 2
    assert again["timings"]["layout_ms"] == again["timings"]["infer_ms"] == 0
    assert [page["timings_ms"]["layout_ms"] for page in again["pages"]] == [0, 0]


def test_a_pdf_keeps_its_pages_and_gets_the_text(server: OcrServer) -> None:
    document = pdf(3)
    answer = server.read(document, name="a.pdf", data={"output": "pdf", "pages": "2-3"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].endswith("a.pdf")
    assert int(answer.headers["content-length"]) == len(answer.content)
    texts = pages_of(answer.content)
    assert len(texts) == 2
    assert all(text.split() == SCRIPT["text"].split() for text in texts)
    server.wait_for(lambda: not server.left_behind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_a_picture_becomes_a_page_of_its_size(server: OcrServer, kind: str) -> None:
    drawn = picture(200, 100, kind)
    answer = server.read(drawn, headers={"Accept": "application/pdf"}, data={"dpi": "100"})
    assert answer.status_code == 200, answer.text
    with contextlib.closing(pypdfium2.PdfDocument(answer.content)) as document:
        (size,) = [page.get_size() for page in document]
    assert size == ((150, 75) if kind == "BMP" else (144, 72))  # a BMP has 96 dpi of its own
    assert "Total" in pages_of(answer.content)[0]


def test_pages_that_failed_keep_their_place_in_every_format(tmp_path: Path) -> None:
    script = {"text": "read", "pages": [{}, {"fail": "No."}, {}] * 2}
    with running_server(tmp_path, script, OCR_ENGINE_WORKERS=1) as server:
        answer = server.read(pdf(3), data={"output": "pdf"})
        told = server.read(pdf(3), data={"output": "alto"})
    assert answer.headers["x-ocr-status"] == "partial"
    assert sorted(text.strip() for text in pages_of(answer.content)) == ["", "read", "read"]
    sizes = [page.get("WIDTH") for page in etree.fromstring(told.content).iter("{*}Page")]
    assert sizes == ["278"] * 3


def test_a_pdf_with_text_of_its_own_need_not_be_read(server: OcrServer) -> None:
    first = server.read(picture(200, 100), data={"output": "pdf"}).content
    own = server.read(first, data={"pdf_mode": "text"}).json()
    assert own["pages"][0]["text_source"] == "pdf"
    assert own["text"].split() == SCRIPT["text"].split()
    assert {result["confidence_source"] for result in own["results"]} == {"none"}
    # What was read by a program is hidden, and not what a reader sees: it is read again.
    again = server.read(first, data={"pdf_mode": "auto"}).json()
    assert "text_source" not in again["pages"][0]
    assert server.read(picture(), data={"pdf_mode": "text"}).json()["text"] == again["text"]


def test_a_pdfs_own_text_is_not_believed_unless_it_is_asked_for(server: OcrServer) -> None:
    lying = documents.pdf((300, 100), content=LYING, extra=HELVETICA)
    believed = server.read(lying, data={"pdf_mode": "auto"}).json()
    assert believed["pages"][0]["text_source"] == "pdf"
    assert believed["text"] == "Pay nothing to anybody"
    assert OcrForm().pdf_mode == "ocr"
    read = server.read(lying).json()
    assert "text_source" not in read["pages"][0]
    assert read["text"] == server.read(picture()).json()["text"]


def test_tesseract_and_the_pdf_agree_on_where_each_word_is(tmp_path: Path) -> None:
    tessdata()
    with running_server(tmp_path, OCR_MODEL="tesseract", OCR_LANGUAGES="ru,en") as server:
        article = (EXAMPLES / "article-ru.png").read_bytes()
        words = server.read(article, data={"include": "words"}).json()["pages"][0]["words"]
        answer = server.read(article, data={"output": "pdf"})
    long = [word for word in words if word["text"].isalpha() and len(word["text"]) > 7]
    assert len(long) > 20
    with contextlib.closing(pypdfium2.PdfDocument(answer.content)) as document:
        page = document[0]
        to_pixels = page.render(scale=200 / 72).get_posconv(page).to_bitmap
        text = page.get_textpage()
        for word in long:
            found = list(places(text, to_pixels, word["text"]))
            left, top, right, bottom = word["bbox"]
            assert any(
                abs(box[0] - left) < 3
                and abs(box[2] - right) < 3
                # As high as its line.
                and box[1] - 3 <= top < bottom <= box[3] + 3
                for box in found
            ), (word, found)


def places(text: Any, to_pixels: Any, word: str) -> Iterator[tuple[int, int, int, int]]:
    search = text.search(word, match_case=True)
    while (at := search.get_next()) is not None:
        first, last = (text.get_charbox(at[0] + index) for index in (0, at[1] - 1))
        yield (*to_pixels(first[0], first[3]), *to_pixels(last[2], last[1]))


def pages_of(content: bytes) -> list[str]:
    with contextlib.closing(pypdfium2.PdfDocument(content)) as document:
        return [page.get_textpage().get_text_range() for page in document]
