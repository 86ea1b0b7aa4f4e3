"""PaddleX's result as our page model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from html.parser import HTMLParser
from itertools import repeat
from typing import Any

from ocr_inference.pipeline.layout import IMAGE_TYPES
from ocr_inference.pipeline.page import Block, ConfidenceSource, Line, PageText
from ocr_inference.pipeline.picture_marks import OBJECT, picture_mark

_TYPES = {
    "doc_title": "title",
    "paragraph_title": "title",
    "display_formula": "formula",
    "inline_formula": "formula",
    "header_image": "image",
    "footer_image": "image",
    "vision_footnote": "footnote",
    "figure_title": "caption",
    "number": "page_number",
    **{
        same: same
        for same in ("table", "formula", "chart", "seal", "image", "header", "footer", "footnote")
    },
}
"""Layout labels to block types; every other label is text of some kind."""

_IMAGES = re.compile(
    r"<div[^>]*>\s*<img\b[^>]*>\s*</div>|<img\b[^>]*>|!\[[^\]]*\]\(imgs/[^)]*\)", re.IGNORECASE
)
"""References to pictures: an answer has its own, where it has any."""

_BLANK_LINES = re.compile(r"\n{3,}")


def page_text(result: Any, confidences: Sequence[float | None] | None = None) -> PageText:
    """`confidences` of the blocks, where the VLM gave probabilities. The native model gives none,
    and layout scores say nothing about the text."""
    known = confidences is not None and any(one is not None for one in confidences)
    blocks = [
        _block(block, 1.0 if confidence is None else confidence)
        for block, confidence in zip(
            result["parsing_res_list"], confidences or repeat(None), strict=False
        )
    ]
    markdown = _markdown(result, blocks)
    if spotted := result.get("spotting_res"):
        blocks = [replace(block, lines=_lines(spotted, block.confidence)) for block in blocks]
    return PageText(
        blocks=tuple(blocks),
        confidence_source=ConfidenceSource.TOKEN_LOGPROB if known else ConfidenceSource.NONE,
        markdown=markdown,
    )


def _markdown(result: Any, blocks: Sequence[Block]) -> str:
    """PaddleX's Markdown, with marks where it shows pictures, and before the tables of charts."""
    parts = []
    for number, (found, block) in enumerate(
        zip(result["parsing_res_list"], blocks, strict=True), start=1
    ):
        alone = copy(result)
        alone["parsing_res_list"] = [found]
        # Private, but the public property only gives tables dressed in style attributes.
        written = str(alone._to_markdown(pretty=False)["markdown_texts"])
        if written and block.type in IMAGE_TYPES:
            parts.append(picture_mark(number))
        parts.append(_IMAGES.sub("", written).replace(OBJECT, "").strip("\n"))
    return _BLANK_LINES.sub("\n\n", "\n\n".join(filter(None, parts))).strip()


def _block(block: Any, confidence: float) -> Block:
    left, top, right, bottom = (float(edge) for edge in block.bbox)
    kind = _TYPES.get(block.label, "text")
    content = (block.content or "").strip()
    is_table = kind in ("table", "chart") and content.startswith("<table")
    return Block(
        type=kind,
        bbox=(left, top, right, bottom),
        text=_table_text(content) if is_table else content,
        confidence=confidence,
        html=content if is_table else None,
        latex=content.strip("$ \n") if kind == "formula" and content else None,
    )


def _lines(spotted: Any, confidence: float) -> tuple[Line, ...]:
    """What the task `spotting` found, and where."""
    lines = []
    for text, corners in zip(spotted["rec_texts"], spotted["rec_polys"], strict=True):
        xs, ys = zip(*corners, strict=True)
        box = (float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
        polygon = tuple((float(x), float(y)) for x, y in corners)
        lines.append(Line(text, box, confidence, polygon))
    return tuple(lines)


class _Cells(HTMLParser):
    """Rows and cells of a table, without anything that is inside a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            if not self.rows:
                self.rows.append([])
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def _table_text(html: str) -> str:
    """A line for each row, its cells parted by tabs."""
    cells = _Cells()
    cells.feed(html)
    cells.close()
    return "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in cells.rows)
