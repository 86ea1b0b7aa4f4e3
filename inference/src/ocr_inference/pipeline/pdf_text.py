"""The text that a PDF page has of its own, placed as an engine would have placed it.

It is what the file says, and that need not be what a reader sees: for files that are trusted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ocr_inference.pipeline.limits import Limits
from ocr_inference.pipeline.order import blocks_in_order
from ocr_inference.pipeline.page import BBox, ConfidenceSource, Line, PageText, Word
from ocr_inference.pipeline.pdf import fitting_dpi, opened_pdf, pixel_size
from ocr_inference.pipeline.plain import clean

_FEWEST_LETTERS = 16
"""Of a page whose text is believed: a stamp on a scan has a date or a number."""

_MOST_STRANGE = 0.05
"""Share of characters that a font without a usable encoding gives: private, replaced, none."""

_STRANGE = frozenset(("Co", "Cn", "Cs", "Cc"))
_REPLACED = "\ufffd"

_SCAN = 0.5
"""Share of the page from which on its pictures are taken for what is to be read."""

_DEPTH = 3
"""Of forms within forms that are looked into."""

Edges = tuple[float, float, float, float]


def own_text(
    path: Path, number: int, dpi: int, limits: Limits, trusted: bool
) -> tuple[PageText | None, int, int, int, int]:
    """The text of page `number` with its width, height, resolution and rotation as for
    `render_page`.

    None where it is not `trusted` and looks as if a reader saw something else. Raises as
    `render_page`.
    """
    with opened_pdf(path) as document:
        size = document.get_page_size(number - 1)
        fit = fitting_dpi(number, size, dpi, limits)
        width, height = pixel_size(size, fit)
        with closing(document[number - 1]) as page, closing(page.get_textpage()) as text:
            place = _Placing(page, width, height)
            lines = list(_lines(text, place))
            if not trusted and not (_sane(lines) and _seen(page, place)):
                return None, width, height, fit, place.rotation
    blocks = blocks_in_order(lines)
    return PageText(blocks, ConfidenceSource.NONE, own=True), width, height, fit, place.rotation


class _Placing:
    """From a page's own axes to pixels of what is shown of it."""

    def __init__(self, page: Any, width: int, height: int) -> None:
        self._box: Edges = page.get_bbox()
        self.rotation: int = page.get_rotation()
        left, bottom, right, top = self._box
        wide, high = right - left, top - bottom
        if self.rotation in (90, 270):
            wide, high = high, wide
        self._high = high
        self._across, self._down = width / wide, height / high
        self.area = wide * high

    def pixels(self, edges: Edges) -> BBox:
        left, bottom, right, top = self._box
        corners = []
        for x, y in ((edges[0], edges[1]), (edges[2], edges[3])):
            u, v = {
                0: (x - left, y - bottom),
                90: (y - bottom, right - x),
                180: (right - x, top - y),
                270: (top - y, x - left),
            }[self.rotation]
            corners.append((u * self._across, (self._high - v) * self._down))
        xs, ys = zip(*corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


def _lines(text: Any, place: _Placing) -> Iterator[Line]:
    words: list[Word] = []
    units: list[int] = []
    boxes: list[BBox] = []
    for index in range(text.count_chars() + 1):
        at_end = index == text.count_chars()
        unit = ord("\n") if at_end else pdfium_c.FPDFText_GetUnicode(text, index)
        space = chr(unit).isspace() or unit == 0
        if not space:
            units.append(unit)
            boxes.append(place.pixels(text.get_charbox(index, loose=True)))
            continue
        if units and (word := _decoded(units)):
            words.append(Word(word, _union(boxes), 1.0))
        units, boxes = [], []
        if unit in (10, 13) and words:
            yield _line(words)
            words = []


def _line(words: Sequence[Word]) -> Line:
    box = _union([word.bbox for word in words])
    return Line(" ".join(word.text for word in words), box, 1.0, words=tuple(words))


def _decoded(units: Sequence[int]) -> str:
    """PDFium gives UTF-16, and now and then half a pair."""
    text = "".join(map(chr, units)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return clean(text)


def _union(boxes: Sequence[BBox]) -> BBox:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _sane(lines: Sequence[Line]) -> bool:
    text = "".join(line.text for line in lines)
    strange = sum(char == _REPLACED or unicodedata.category(char) in _STRANGE for char in text)
    letters = sum(char.isalnum() for char in text)
    return letters >= _FEWEST_LETTERS and strange <= _MOST_STRANGE * len(text)


def _seen(page: Any, place: _Placing) -> bool:
    """Whether the text is drawn, and is no caption to pictures that hold the page's text."""
    hidden = shown = 0
    pictures = 0.0
    for found in page.get_objects(
        filter=(pdfium_c.FPDF_PAGEOBJ_TEXT, pdfium_c.FPDF_PAGEOBJ_IMAGE), max_depth=_DEPTH
    ):
        if found.type == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = found.get_bounds()
            pictures += abs(right - left) * abs(top - bottom)
        elif _is_hidden(found):
            hidden += 1
        else:
            shown += 1
    return shown > hidden and pictures < _SCAN * place.area


def _is_hidden(text: pdfium.PdfObject) -> bool:
    """Hidden text is what another program read, as on the pages that we write ourselves."""
    mode: int = pdfium_c.FPDFTextObj_GetTextRenderMode(text)
    return mode == int(pdfium_c.FPDF_TEXTRENDERMODE_INVISIBLE)
