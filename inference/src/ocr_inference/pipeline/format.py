"""Answers from the page model: one function per output format."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ocr_inference.pipeline.layout import blocks_of
from ocr_inference.pipeline.page import BBox, Block, ConfidenceSource, Line, Page, Polygon
from ocr_inference.pipeline.picture_marks import with_pictures
from ocr_inference.pipeline.plain import clean

_EVERYWHERE = re.compile(r"([\\`*<\[])")
_UNDERSCORE = re.compile(r"(?<!\w)_|_(?!\w)")
_LINE_START = re.compile(r"^(\s*)(#{1,6}(?=\s|$)|>|[-+](?=\s|$)|={2,}|-{2,}|~{3,})", re.MULTILINE)
_LIST_NUMBER = re.compile(r"^(\s*\d{1,9})([.)])(?=\s|$)", re.MULTILINE)


def as_text(pages: Sequence[Page]) -> str:
    """Plain text in reading order, a form feed between pages."""
    return "\f".join(_page_text(page) for page in pages)


def as_markdown(pages: Sequence[Page]) -> str:
    """Markdown in reading order; tables as HTML, formulas in dollar signs."""
    return "\n\n".join(filter(None, (page_markdown(page, {}) for page in pages)))


def page_markdown(page: Page, pictures: Mapping[int, str]) -> str:
    """A page alone; `pictures` are what stands for those of its blocks, by their numbers."""
    if page.text is not None and page.text.markdown is not None:
        return with_pictures(clean(page.text.markdown), pictures).strip()
    parts = (
        part
        for number, block in _numbered(page)
        for part in (pictures.get(number), _block_markdown(block))
    )
    return "\n\n".join(filter(None, parts))


def block_content(block: Block) -> str:
    """A block alone: a table as HTML, a formula in dollar signs, else its text without markup."""
    content = block.html or (f"$${block.latex}$$" if block.latex else block.text)
    return clean(content).strip()


def page_results(page: Page) -> list[dict[str, Any]]:
    """One entry per line, or per block where the engine knows no lines."""
    source = page.text.confidence_source if page.text else ConfidenceSource.NONE
    return [
        {
            "text": text,
            **_place(part),
            "confidence": round(part.confidence, 4),
            "confidence_source": source.value,
            "page": page.number,
        }
        for block in blocks_of(page)
        for part in block.lines or (block,)
        if (text := clean(part.text).strip())
    ]


def page_body(
    page: Page, include: frozenset[str], images: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """One entry of `pages`; `include` holds `blocks`, `lines`, `words` and/or `timings`. `images`
    are those of `image_body`, where they were cut out."""
    body: dict[str, Any] = {
        "page": page.number,
        "width": page.width,
        "height": page.height,
        "dpi": page.dpi,
        "rotation": page.rotation,
        "status": page.status.value,
    }
    if page.text is not None:
        body["confidence_source"] = page.text.confidence_source.value
    if page.text is not None and page.text.own:
        body["text_source"] = "pdf"
    if page.error is not None:
        body["error"] = page.error
    if "blocks" in include:
        body["blocks"] = [_block_body(number, block) for number, block in _numbered(page)]
    if "lines" in include:
        body["lines"] = [
            {
                "block": number,
                "text": clean(line.text),
                **_place(line),
                "confidence": round(line.confidence, 4),
            }
            for number, block in _numbered(page)
            for line in block.lines
        ]
    if "words" in include:
        lines = [line for block in blocks_of(page) for line in block.lines]
        body["words"] = [
            {
                "line": number,
                "text": clean(word.text),
                "bbox": _rounded(word.bbox),
                "confidence": round(word.confidence, 4),
            }
            for number, line in enumerate(lines, start=1)
            for word in line.words
        ]
    if images is not None:
        body["images"] = images
    if "timings" in include:
        body["timings_ms"] = page.timings_ms
    return body


def image_body(
    number: int, block: Block, file: Mapping[str, Any] | None, data: str | None
) -> dict[str, Any]:
    """One entry of a page's `images`: block `number`, and its picture `file` with `data` in base64;
    None where it was left out."""
    known = file or {}
    return {
        "block": number,
        "type": block.type,
        "bbox": _rounded(block.bbox),
        **{name: known.get(name) for name in ("media_type", "width", "height")},
        "base64": data,
    }


def _page_text(page: Page) -> str:
    texts = (clean(block.text).strip() for block in blocks_of(page))
    return "\n\n".join(text for text in texts if text)


def _block_markdown(block: Block) -> str:
    if block.html:
        return clean(block.html)
    if block.latex:
        return f"$${clean(block.latex)}$$"
    text = _escaped(clean(block.text).strip())
    # A heading is one line; the line breaks of the page are not part of it.
    return f"# {' '.join(text.split())}" if block.type == "title" and text else text


def _escaped(text: str) -> str:
    """What was printed must not become markup: a star, a tag, a line that begins with a dash."""
    text = _EVERYWHERE.sub(r"\\\1", text)
    text = _UNDERSCORE.sub(r"\\_", text)
    text = _LINE_START.sub(r"\1\\\2", text)
    return _LIST_NUMBER.sub(r"\1\\\2", text)


def _numbered(page: Page) -> Iterator[tuple[int, Block]]:
    return enumerate(blocks_of(page), start=1)


def _block_body(number: int, block: Block) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": number,
        "type": block.type,
        "bbox": _rounded(block.bbox),
        "text": clean(block.text),
        "confidence": round(block.confidence, 4),
    }
    if block.html is not None:
        body["html"] = clean(block.html)
    if block.latex is not None:
        body["latex"] = clean(block.latex)
    return body


def _place(part: Line | Block) -> dict[str, Any]:
    left, top, right, bottom = part.bbox
    corners: Polygon = ((left, top), (right, top), (right, bottom), (left, bottom))
    if isinstance(part, Line) and part.polygon:
        corners = part.polygon
    return {
        "bbox": _rounded(part.bbox),
        "polygon": [[round(x, 1), round(y, 1)] for x, y in corners],
    }


def _rounded(bbox: BBox) -> list[float]:
    return [round(value, 1) for value in bbox]
