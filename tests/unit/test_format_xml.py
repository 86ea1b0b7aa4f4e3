# ruff: noqa: RUF001 - Cyrillic is meant
"""hOCR and ALTO: proved by the tools and the schema of others, with any text inside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ocr_inference.pipeline.alto import as_alto
from ocr_inference.pipeline.hocr import as_hocr
from ocr_inference.pipeline.page import (
    Block,
    ConfidenceSource,
    Line,
    Page,
    PageStatus,
    PageText,
    Word,
)
from ocr_inference.pipeline.plain import Origin

ORIGIN = Origin('a "b"; <c>.pdf', "ocr-inference 1 <&>", "ru")
FOLDER = Path(__file__).parents[1] / "data/alto"
ALTO = "{http://www.loc.gov/standards/alto/ns-v4#}"
XHTML = "{http://www.w3.org/1999/xhtml}"

WORDS = (Word("Total", (10, 10, 60, 30), 0.9), Word("<&>", (70, 10, 100, 30), 0.25))
LINE = Line("Total <&>", (10, 10, 100, 30), 0.6, words=WORDS)
PLAIN = Line("сумма 四百", (10, 40, 110, 60), 0.8)
TEXT = Block("text", (10, 10, 110, 60), "Total <&>\nсумма 四百", 0.7, lines=(LINE, PLAIN))
TABLE = Block("table", (10, 100, 110, 140), "a\tb\nc\td", html="<table></table>")
FORMULA = Block("formula", (10, 150, 110, 160), "x < y", latex="x < y")
PICTURE = Block("image", (10, 200, 110, 260), "")
FAILED = Page(2, 200, 300, 150, PageStatus.FAILED, error="The page is damaged.")


def page(
    *blocks: Block, number: int = 1, source: ConfidenceSource = ConfidenceSource.ENGINE
) -> Page:
    return Page(number, 200, 300, 150, text=PageText(blocks, source))


PAGES = (page(TEXT, TABLE, FORMULA, PICTURE), FAILED, page(number=3))

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
edges = st.floats(-1e4, 1e4, allow_nan=False)
boxes = st.tuples(edges, edges, edges, edges)
lines = st.builds(Line, texts, boxes, st.floats(0, 1))
kinds = st.sampled_from(["text", "table", "image", "formula", "chart", "new type"])
blocks = st.builds(
    Block, kinds, boxes, texts, st.floats(0, 1), lines=st.lists(lines, max_size=3).map(tuple)
)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    text = (FOLDER / "alto-4-4.xsd").read_text()
    # The schema that it imports is beside it: nothing is asked of a network.
    local = re.sub('schemaLocation="[^"]*"', 'schemaLocation="xlink.xsd"', text)
    return etree.XMLSchema(etree.fromstring(local.encode(), base_url=f"{FOLDER}/"))


def parsed(text: str) -> etree._Element:
    return etree.fromstring(text.encode(), etree.XMLParser(resolve_entities=False, no_network=True))


def tool(name: str, text: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "page.hocr").write_text(text)
    return subprocess.run(
        [sys.executable, Path(sys.executable).with_name(name), *arguments, folder / "page.hocr"],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_hocr_passes_the_check_of_its_tools(tmp_path: Path) -> None:
    checked = tool("hocr-check", as_hocr(PAGES[:1], ORIGIN), tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stderr.splitlines()) > 8
    assert not re.search("^not ok", checked.stderr, re.MULTILINE)


def test_hocr_tools_find_the_lines(tmp_path: Path) -> None:
    found = tool("hocr-lines", as_hocr(PAGES, ORIGIN), tmp_path)
    assert found.stdout.splitlines() == ["Total <&>", "сумма 四百", "a b", "c d", "x < y"]


def test_hocr_has_each_word_with_its_box_and_confidence() -> None:
    tree = parsed(as_hocr(PAGES, ORIGIN))
    pages = tree.findall(f".//{XHTML}div[@class='ocr_page']")
    assert [page.get("title") for page in pages] == [
        f'image "a _b__ <c>.pdf"; bbox 0 0 200 300; ppageno {number}; scan_res 150 150'
        for number in range(3)
    ]
    words = [(w.text, w.get("title")) for w in tree.iter(f"{XHTML}span") if "word" in w.get("id")]
    assert words[:2] == [
        ("Total", "bbox 10 10 60 30; x_wconf 90"),
        ("<&>", "bbox 70 10 100 30; x_wconf 25"),
    ]
    # Ten letters wide, as CJK takes two each: 10 pixels a letter.
    assert words[2:4] == [
        ("сумма", "bbox 10 40 60 60; x_wconf 80"),
        ("四百", "bbox 70 40 110 60; x_wconf 80"),
    ]
    assert tree.get("lang") == "ru"


def test_alto_is_valid_and_has_each_word(schema: etree.XMLSchema) -> None:
    written = as_alto(PAGES, ORIGIN)
    schema.assertValid(parsed(written))
    tree = parsed(written)
    assert [page.get("PHYSICAL_IMG_NR") for page in tree.iter(f"{ALTO}Page")] == ["1", "2", "3"]
    strings = list(tree.iter(f"{ALTO}String"))
    assert [string.get("CONTENT") for string in strings[:4]] == ["Total", "<&>", "сумма", "四百"]
    place = [strings[1].get(name) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT", "WC")]
    assert place == ["70.0", "10.0", "30.0", "20.0", "0.2500"]
    tags = {tag.get("LABEL"): tag.get("ID") for tag in tree.iter(f"{ALTO}LayoutTag")}
    blocks = [block.get("TAGREFS") for block in tree.iter(f"{ALTO}TextBlock")]
    assert blocks == [None, tags["table"], tags["formula"]]
    (picture,) = tree.iter(f"{ALTO}Illustration")
    assert picture.get("VPOS") == "200.0"


def test_an_invalid_document_would_be_noticed(schema: etree.XMLSchema) -> None:
    assert not schema.validate(parsed(as_alto(PAGES, ORIGIN).replace("HPOS=", "LEFT=")))


def test_no_confidence_is_invented() -> None:
    pages = [page(TEXT, source=ConfidenceSource.NONE)]
    assert "WC=" not in as_alto(pages, ORIGIN)
    assert "x_wconf" not in as_hocr(pages, ORIGIN)


def test_a_document_without_pages_or_language_is_written(schema: etree.XMLSchema) -> None:
    plain = Origin("", "")
    schema.assertValid(parsed(as_alto([page()], plain)))
    assert "lang" not in as_hocr([], plain)


@given(st.lists(blocks, max_size=3), texts)
def test_any_text_and_any_box_makes_valid_alto(
    schema: etree.XMLSchema, found: list[Block], name: str
) -> None:
    schema.assertValid(parsed(as_alto([page(*found)], Origin(name, name))))


@given(st.lists(blocks, max_size=3), texts)
def test_any_text_and_any_box_makes_well_formed_hocr(found: list[Block], name: str) -> None:
    tree = parsed(as_hocr([page(*found)], Origin(name, name)))
    for element in tree.iter():
        if box := re.search(r"bbox (\d+) (\d+) (\d+) (\d+)", element.get("title", "")):
            left, top, right, bottom = map(int, box.groups())
            assert 0 <= left <= right <= 200
            assert 0 <= top <= bottom <= 300


def test_a_paragraph_without_lines_is_spread_over_its_box() -> None:
    words = " ".join(["seventeen"] * 60)
    block = Block("text", (0, 0, 1000, 200), words)
    text = PageText((block,), ConfidenceSource.NONE)
    tree = parsed(as_hocr([Page(1, 1000, 300, 150, text=text)], ORIGIN))
    rows = tree.findall(f".//{XHTML}span[@class='ocr_line']")
    # 600 letters, each half as wide as its line is high: 7 or 8 lines of 25 to 28 pixels.
    assert 7 <= len(rows) <= 8
    assert " ".join(" ".join(row.itertext()) for row in rows).split() == words.split()
