import json
from collections.abc import Collection
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_inference.pipeline.format import as_markdown, as_text, page_body
from ocr_inference.pipeline.page import (
    Block,
    ConfidenceSource,
    Line,
    Page,
    PageStatus,
    PageText,
    Word,
)
from ocr_inference.results.answer import Answer

TABLE = "<table><tr><td>a</td><td>b</td></tr></table>"


def page(*blocks: Block, number: int = 1, markdown: str | None = None) -> Page:
    text = PageText(blocks, ConfidenceSource.ENGINE, markdown)
    return Page(number, 200, 300, 150, text=text)


def block(text: str, kind: str = "text", **more: str) -> Block:
    return Block(kind, (1, 2, 3, 4), text, **more)


def answer(*pages: Page, include: Collection[str] = ()) -> dict[str, Any]:
    """What is sent of these pages."""
    body: dict[str, Any] = json.loads(Answer({}, pages, frozenset(include)).json().encode())
    return body


FAILED = Page(2, 0, 0, 200, PageStatus.FAILED, error="The page is damaged.")


def test_text_parts_blocks_by_blank_lines_and_pages_by_form_feeds() -> None:
    pages = [page(block("One\ntwo"), block(""), block("three ")), page(block("four"), number=2)]
    assert as_text(pages) == "One\ntwo\n\nthree\ffour"


def test_a_failed_page_is_an_empty_page_in_text() -> None:
    assert as_text([page(block("a")), FAILED, page(block("b"))]) == "a\f\fb"


def test_markdown_has_headings_tables_and_formulas() -> None:
    blocks = [
        block("The\nTitle", "title"),
        block("Prose."),
        block("a\tb", "table", html=TABLE),
        block("x^2", "formula", latex="x^2"),
        block("", "image"),
    ]
    assert as_markdown([page(*blocks)]) == f"# The Title\n\nProse.\n\n{TABLE}\n\n$$x^2$$"


def test_markdown_of_an_engine_is_kept() -> None:
    assert as_markdown([page(block("a"), markdown="## A\n")]) == "## A"


@pytest.mark.parametrize(
    ("printed", "markdown"),
    [
        ("# 5 is not a heading", r"\# 5 is not a heading"),
        ("- 3 degrees", r"\- 3 degrees"),
        ("1. First", r"1\. First"),
        ("2024) end", r"2024\) end"),
        ("> quoted", r"\> quoted"),
        ("a * b * c", r"a \* b \* c"),
        ("snake_case stays", "snake_case stays"),
        ("_not emphasis_", r"\_not emphasis\_"),
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("[click](http://x)", r"\[click](http://x)"),
        ("back\\slash `code`", r"back\\slash \`code\`"),
        ("---", r"\---"),
        ("3.14 and 5 - 2", "3.14 and 5 - 2"),
    ],
)
def test_what_was_printed_does_not_become_markup(printed: str, markdown: str) -> None:
    assert as_markdown([page(block(printed))]) == markdown


def test_the_body_has_a_result_for_every_line() -> None:
    slanted = Line("two", (0, 10, 50, 22), 0.12345, ((0, 10), (50, 12), (50, 22), (0, 20)))
    lines = (Line("one", (1, 2, 30.04, 8), 0.9), slanted)
    body = answer(
        page(Block("text", (0, 2, 50, 22), "one\ntwo", lines=lines)),
        include={"blocks", "lines"},
    )
    assert body["results"] == [
        {
            "text": "one",
            "bbox": [1, 2, 30.0, 8],
            "polygon": [[1, 2], [30.0, 2], [30.0, 8], [1, 8]],
            "confidence": 0.9,
            "confidence_source": "engine",
            "page": 1,
        },
        {
            "text": "two",
            "bbox": [0, 10, 50, 22],
            "polygon": [[0, 10], [50, 12], [50, 22], [0, 20]],
            "confidence": 0.1235,
            "confidence_source": "engine",
            "page": 1,
        },
    ]
    (only,) = body["pages"]
    assert only["confidence_source"] == "engine"
    assert only["blocks"] == [
        {"id": 1, "type": "text", "bbox": [0, 2, 50, 22], "text": "one\ntwo", "confidence": 1.0}
    ]
    assert [(line["block"], line["text"]) for line in only["lines"]] == [(1, "one"), (1, "two")]


def test_an_engine_without_lines_has_a_result_for_every_block_with_text() -> None:
    body = answer(page(block("a\tb", "table", html=TABLE), block("", "image")))
    assert [result["text"] for result in body["results"]] == ["a\tb"]
    assert "blocks" not in body["pages"][0]
    assert "lines" not in body["pages"][0]


def test_a_failed_page_says_why() -> None:
    body = answer(FAILED, include={"blocks"})
    assert body["pages"] == [
        {
            "page": 2,
            "width": 0,
            "height": 0,
            "dpi": 200,
            "rotation": 0,
            "status": "failed",
            "error": "The page is damaged.",
            "blocks": [],
        }
    ]
    assert body["results"] == []


@given(st.text())
def test_any_text_can_be_sent_as_json_and_written_into_xml(text: str) -> None:
    body = answer(page(block(text, html=text)), include={"blocks"})
    for said in (body["text"], body["markdown"], body["pages"][0]["blocks"][0]["html"]):
        assert all(c in "\t\n" or c >= " " for c in said)
        escape(said).encode()


def test_words_are_in_the_answer_when_they_are_asked_for() -> None:
    words = (Word("Two", (0, 0, 9, 9), 0.5), Word("wo\x00rds", (10, 0, 19, 9), 0.98765))
    lines = (Line("One", (0, 0, 9, 9), 1.0), Line("Two words", (0, 0, 19, 9), 0.7, words=words))
    body = page_body(page(Block("text", (0, 0, 19, 9), "…", lines=lines)), frozenset({"words"}))
    assert body["words"] == [
        {"line": 2, "text": "Two", "bbox": [0, 0, 9, 9], "confidence": 0.5},
        {"line": 2, "text": "words", "bbox": [10, 0, 19, 9], "confidence": 0.9877},
    ]
    assert "lines" not in body
