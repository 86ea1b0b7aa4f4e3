"""The page model as Mistral answers it. For a thread, as `results.answer`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ocr_inference.api.mistral.schema import OcrRequest
from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.pipeline.format import as_markdown, block_content
from ocr_inference.pipeline.page import Block, ConfidenceSource, Page, PageText
from ocr_inference.pipeline.plain import clean
from ocr_inference.reading.request import Reading

_TYPES = {
    **{same: same for same in ("title", "table", "caption", "header", "footer", "image")},
    "formula": "equation",
    "chart": "image",
    "footnote": "references",
}
"""Types of ours to Mistral's; every other is `text`."""


def answer(reading: Reading, form: OcrRequest, model: str) -> str:
    pages = ",".join(to_json(_page(page, form)) for page in reading.pages)
    about = {
        "model": model,
        "document_annotation": None,
        "usage_info": {
            "pages_processed": len(reading.pages) - len(reading.errors),
            "doc_size_bytes": reading.request.document.size,
        },
    }
    return f'{{"pages":[{pages}],{to_json(about)[1:]}'


def _page(page: Page, form: OcrRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "index": page.number - 1,
        "markdown": "",
        "images": [],
        "dimensions": None,
        "tables": [],
        "hyperlinks": [],
        "header": None,
        "footer": None,
    }
    if page.text is None:
        return {**body, "error": page.error}
    body["dimensions"] = {"dpi": page.dpi, "height": page.height, "width": page.width}
    text = page.text
    for kind, wanted in (("header", form.extract_header), ("footer", form.extract_footer)):
        if wanted:
            body[kind], text = _taken_out(text, kind)
    body["markdown"] = as_markdown((replace(page, text=text),))
    body["images"] = [
        {"id": _image_id(number), **_corners(block), "image_base64": None}
        for number, block in enumerate(page.text.blocks)
        if _TYPES.get(block.type) == "image"
    ]
    granularity = form.confidence_scores_granularity
    if granularity is not None and text.confidence_source is not ConfidenceSource.NONE:
        average, least = _confidence(page.text.blocks)
        body["confidence_scores"] = {
            "average_page_confidence_score": average,
            "minimum_page_confidence_score": least,
        }
    if form.include_blocks:
        scored = granularity == "block" and text.confidence_source is not ConfidenceSource.NONE
        body["blocks"] = [
            _block(number, block, scored) for number, block in enumerate(page.text.blocks)
        ]
    return body


def _taken_out(text: PageText, kind: str) -> tuple[str | None, PageText]:
    """The text of the blocks of this kind, and the page without them."""
    found = [clean(block.text).strip() for block in text.blocks if block.type == kind]
    rest = tuple(block for block in text.blocks if block.type != kind)
    return "\n".join(found) or None, replace(text, blocks=rest)


def _block(number: int, block: Block, scored: bool) -> dict[str, Any]:
    kind = _TYPES.get(block.type, "text")
    body: dict[str, Any] = {"type": kind, **_corners(block), "content": block_content(block)}
    if kind == "image":
        body["image_id"] = _image_id(number)
    if scored:
        average, least = _confidence((block,))
        body["confidence_scores"] = {
            "average_content_confidence_score": average,
            "minimum_content_confidence_score": least,
        }
    return body


def _confidence(blocks: Iterable[Block]) -> tuple[float, float]:
    """The mean and the least; 1 where there is no text to be unsure of."""
    values = [part.confidence for block in blocks for part in block.lines or (block,)] or [1.0]
    return round(sum(values) / len(values), 4), round(min(values), 4)


def _image_id(number: int) -> str:
    return f"img-{number}"


def _corners(block: Block) -> dict[str, int]:
    left, top, right, bottom = (round(edge) for edge in block.bbox)
    return {
        "top_left_x": left,
        "top_left_y": top,
        "bottom_right_x": right,
        "bottom_right_y": bottom,
    }
