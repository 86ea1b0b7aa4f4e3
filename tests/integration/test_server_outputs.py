"""Every output format from the real server: what it says, and the headers beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from lxml import etree
from ocr_server import OcrServer, picture, running_server

SCRIPT = {"text": "Total <&> сум\njumps", "pages": [{}] * 3 + [{"fail": "No."}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(tmp_path_factory.mktemp("outputs"), {"text": SCRIPT["text"]}) as running:
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
