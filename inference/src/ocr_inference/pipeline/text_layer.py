"""A page's text as a PDF needs it, in a file: it is read in one process and written in another.

One page a line, as JSON: a document of thousands of pages is never in memory as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ocr_inference.pipeline.layout import blocks_of, placed_lines
from ocr_inference.pipeline.page import Page

PlacedWord = tuple[str, float, float]
"""Text, left and right edge."""

PlacedLine = tuple[float, float, tuple[PlacedWord, ...]]
"""Top and bottom edge, words."""


@dataclass(frozen=True, slots=True)
class PageLayer:
    """The words of page `number`, places in pixels of an image of this size and resolution."""

    number: int
    width: int
    height: int
    dpi: int
    lines: tuple[PlacedLine, ...]


def write_layers(path: Path, pages: Iterable[Page]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for page in pages:
            own = page.text is not None and page.text.own  # it is in the page already
            blocks = () if own else blocks_of(page)
            lines = [
                (line.bbox[1], line.bbox[3], [(w.text, w.bbox[0], w.bbox[2]) for w in line.words])
                for block in blocks
                for line in placed_lines(block)
            ]
            layer = (page.number, page.width, page.height, page.dpi, lines)
            file.write(json.dumps(layer, ensure_ascii=False) + "\n")


def read_layers(path: Path) -> Iterator[PageLayer]:
    with path.open(encoding="utf-8") as file:
        for row in file:
            yield PageLayer(*json.loads(row))
