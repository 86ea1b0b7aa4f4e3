"""What `POST /ocr` makes of its fields, and what of an engine's confidence."""

from __future__ import annotations

import json

import pytest

from ocr_inference.api.ocr.accept import accepted
from ocr_inference.api.ocr.schema import parse_form
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.format import as_markdown, as_text, page_body, page_results
from ocr_inference.pipeline.page import (
    Block,
    ConfidenceSource,
    Line,
    Page,
    PageStatus,
    PageText,
)
from ocr_inference.reading.reader import _nothing_read, confident
from ocr_inference.results.answer import Answer

BOX = (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("header", "output"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("text/html", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", "json"),
        ("application/xml", "alto"),
        ("application/alto+xml, application/json;q=0.5", "alto"),
        ("text/vnd.hocr+html", "hocr"),
        ("application/pdf", "pdf"),
        ("text/plain", "text"),
        ("TEXT/Plain; charset=utf-8", "text"),
        ("application/json;q=0.3, text/markdown;q=0.4", "markdown"),
        ("text/plain;q=0, application/json;q=0.1", "json"),
        ("text/plain;q=x", "json"),
    ],
)
def test_accept_chooses_the_format(header: str, output: str) -> None:
    assert accepted(header) == output


def test_fields_have_defaults() -> None:
    form = parse_form({})
    assert (form.dpi, form.languages, form.include) == (200, (), ["blocks", "lines"])


def test_lists_may_be_repeated_or_written_with_commas() -> None:
    form = parse_form({"language": ["en,ru", "de", "en"], "include": ["lines"]})
    assert form.languages == ("en", "ru", "de")
    assert parse_form({"language": ["auto"]}).languages == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dpi": ["71"]}, "dpi: Input should be greater than or equal to 72."),
        ({"dpi": ["100", "100"]}, "dpi: given 2 times."),
        ({"nonsense": ["1"]}, "nonsense: this field is not known."),
    ],
)
def test_a_refusal_names_the_field(fields: dict[str, list[str]], message: str) -> None:
    with pytest.raises(PublicError) as refused:
        parse_form(fields)
    assert str(refused.value) == message


def text(*confidences: float, source: ConfidenceSource = ConfidenceSource.ENGINE) -> PageText:
    lines = tuple(Line(f"line {c}", BOX, c) for c in confidences)
    whole = Block("text", BOX, "\n".join(line.text for line in lines), 0.5, lines=lines)
    return PageText((whole, Block("title", BOX, "title", 0.4)), source, markdown="# all")


def test_unsure_lines_and_blocks_are_left_out_everywhere() -> None:
    kept = confident(text(0.2, 0.9), 0.5)
    assert [block.text for block in kept.blocks] == ["line 0.9"]
    assert kept.markdown is None  # the engine's own would still hold them


def test_sure_pages_stay_as_they_are() -> None:
    page = text(0.8, 0.9)
    assert confident(page, 0.0) is page
    assert confident(page, 0.3) is page


def test_an_engine_without_confidence_is_not_filtered() -> None:
    page = text(1.0, source=ConfidenceSource.NONE)
    assert confident(page, 0.99) is page


def test_an_answer_made_page_by_page_is_that_of_all_pages() -> None:
    empty = PageText((), ConfidenceSource.ENGINE)
    pages = (
        Page(1, 0, 0, 200, PageStatus.FAILED, error='"no"'),
        Page(2, 9, 9, 200, text=text(0.2, 0.9)),
        Page(3, 9, 9, 200, text=empty),
        Page(4, 9, 9, 200, text=text(0.7)),
    )
    include = frozenset({"blocks", "lines"})
    for some in ((), pages[:1], pages):
        body = json.loads(Answer({"id": "x"}, some, include).json())
        assert body == {
            "id": "x",
            "text": as_text(some),
            "markdown": as_markdown(some),
            "results": [result for page in some for result in page_results(page)],
            "pages": [page_body(page, include) for page in some],
        }


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (422, "too_many_pixels", (422, "too_many_pixels")),
        (503, "engine_unavailable", (503, "engine_unavailable")),
        (504, "deadline_exceeded", (504, "deadline_exceeded")),
        (500, "other", (502, "engine_error")),
    ],
)
def test_when_no_page_was_read_the_answer_says_what_can_be_done(
    status: int, code: str, said: tuple[int, str]
) -> None:
    error = _nothing_read([PublicError(status, code, "No.")])
    assert (error.status, error.code) == said
