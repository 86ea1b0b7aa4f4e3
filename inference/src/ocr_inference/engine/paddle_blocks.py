"""PaddleX's result as our page model."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from ocr_inference.pipeline.page import Block, ConfidenceSource, PageText

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
"""References to cut-out pictures, which are not part of the answer."""

_BLANK_LINES = re.compile(r"\n{3,}")


def page_text(result: Any) -> PageText:
    # Private, but the public property only gives tables dressed in style attributes.
    markdown = str(result._to_markdown(pretty=False)["markdown_texts"])
    return PageText(
        blocks=tuple(_block(block) for block in result["parsing_res_list"]),
        # The native model gives no probabilities; layout scores say nothing about the text.
        confidence_source=ConfidenceSource.NONE,
        markdown=_BLANK_LINES.sub("\n\n", _IMAGES.sub("", markdown)).strip(),
    )


def _block(block: Any) -> Block:
    left, top, right, bottom = (float(edge) for edge in block.bbox)
    kind = _TYPES.get(block.label, "text")
    content = (block.content or "").strip()
    is_table = kind in ("table", "chart") and content.startswith("<table")
    return Block(
        type=kind,
        bbox=(left, top, right, bottom),
        text=_table_text(content) if is_table else content,
        html=content if is_table else None,
        latex=content.strip("$ \n") if kind == "formula" and content else None,
    )


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
