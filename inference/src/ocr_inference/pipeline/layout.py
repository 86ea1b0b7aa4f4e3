"""Where each line and word of a page is, for the formats that must place everything.

What an engine does not say is estimated: words by the width of their letters within the line, lines
of a block by how many of natural proportions fit into its box.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from dataclasses import replace

from ocr_inference.pipeline.page import BBox, Block, Line, Page, Word
from ocr_inference.pipeline.plain import clean

_LETTER = 0.5
"""Width of a letter in heights of its line; a wide one (CJK) has two of them."""

_UNBROKEN = frozenset(("formula", "title", "seal"))
"""Block types that are one line however long."""

IMAGE_TYPES = frozenset(("image", "chart", "seal"))

ImageBlock = tuple[int, Block, tuple[int, int, int, int]]
"""A block that is a picture, its number from 1 and the pixels that it has: never none."""


def blocks_of(page: Page) -> tuple[Block, ...]:
    return page.text.blocks if page.text else ()


def image_blocks(page: Page) -> list[ImageBlock]:
    found = [
        (number, block, whole(block.bbox, page))
        for number, block in enumerate(blocks_of(page), start=1)
        if block.type in IMAGE_TYPES
    ]
    return [
        (number, block, box) for number, block, box in found if box[0] < box[2] and box[1] < box[3]
    ]


def placed_lines(block: Block) -> Iterator[Line]:
    """The lines of a block with something printable in them, each with words whose texts are clean
    and without spaces. Boxes are the engine's, or estimates within the engine's."""
    for line in block.lines or _estimated_lines(block):
        words = tuple(word for read in line.words if (word := _printable(read)).text)
        words = words or tuple(_estimated_words(line))
        if words:
            yield replace(line, text=" ".join(word.text for word in words), words=words)


def _printable(word: Word) -> Word:
    text = "".join(clean(word.text).split())
    return word if text == word.text else replace(word, text=text)


def _estimated_lines(block: Block) -> Iterator[Line]:
    rows = [row for row in clean(block.text).splitlines() if row.strip()]
    left, top, right, bottom = block.bbox
    if not rows or right - left < 1 or bottom - top < 1 or block.type in _UNBROKEN:
        rows = [" ".join(rows)]
    elif block.type != "table":
        rows = [part for row in rows for part in _broken(row, rows, right - left, bottom - top)]
    step = (bottom - top) / len(rows)
    for index, row in enumerate(rows):
        box = (left, top + index * step, right, top + (index + 1) * step)
        yield Line(row, box, block.confidence)


def _broken(row: str, rows: list[str], width: float, height: float) -> Iterator[str]:
    """`row` in as many parts as it has lines on the page, were its letters of natural width.

    With n lines each is height/n high and has width/(letter * height/n) letters.
    """
    letters = sum(map(_letters, rows))
    lines = max(len(rows), round(math.sqrt(letters * _LETTER * height / width)))
    limit = max(1.0, letters / lines)
    part: list[str] = []
    used = 0
    for word in row.split():
        count = _letters(word)
        if part and used + count / 2 > limit:
            yield " ".join(part)
            part, used = [], 0
        part.append(word)
        used += count + 1
    if part:
        yield " ".join(part)


def _estimated_words(line: Line) -> Iterator[Word]:
    """The line's box divided among its words, and the spaces between them."""
    parts = clean(line.text).split()
    left, top, right, bottom = line.bbox
    each = (right - left) / max(1, _letters(" ".join(parts)))
    at = left
    for part in parts:
        end = at + _letters(part) * each
        yield Word(part, (at, top, min(end, right), bottom), line.confidence)
        at = end + each


def _letters(text: str) -> int:
    """Width of a text in letters: none for marks on others, two for wide ones."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def whole(box: BBox, page: Page) -> tuple[int, int, int, int]:
    """The pixels that a box touches, inside the page."""
    left, top, right, bottom = box
    x1 = min(max(0, math.floor(left)), page.width)
    y1 = min(max(0, math.floor(top)), page.height)
    return (
        x1,
        y1,
        max(x1, min(math.ceil(right), page.width)),
        max(y1, min(math.ceil(bottom), page.height)),
    )
