"""The page model as Mistral answers it. For a thread, as `results.answer`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ocr_inference.api.mistral.schema import OcrRequest
from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.pipeline.format import block_content, page_markdown
from ocr_inference.pipeline.layout import ImageBlock, image_blocks
from ocr_inference.pipeline.page import Block, ConfidenceSource, Page, PageText
from ocr_inference.pipeline.plain import clean
from ocr_inference.reading.request import Reading
from ocr_inference.results.answer import Images

_TYPES = {
    **{same: same for same in ("title", "table", "caption", "header", "footer", "image")},
    "formula": "equation",
    "chart": "image",
    "footnote": "references",
}
"""Types of ours to Mistral's; every other is `text`."""


def listed(pages: Sequence[Page], form: OcrRequest) -> list[tuple[Page, list[ImageBlock]]]:
    """The pictures that the answer has, cut out or not."""
    least = form.image_min_size or 0
    left = math.inf if form.image_limit is None else form.image_limit
    found = []
    for page in pages:
        blocks = [
            (number, block, box)
            for number, block, box in image_blocks(page)
            if min(box[2] - box[0], box[3] - box[1]) >= least
        ]
        found.append((page, blocks[: int(min(left, len(blocks)))]))
        left -= len(found[-1][1])
    return found


def answer(reading: Reading, images: Images, form: OcrRequest, model: str) -> str:
    pages = ",".join(
        to_json(_page(page, blocks, images.pages.get(page.number, ()), form))
        for page, blocks in listed(reading.pages, form)
    )
    about = {
        "model": model,
        "document_annotation": None,
        "usage_info": {
            "pages_processed": len(reading.pages) - len(reading.errors),
            "doc_size_bytes": reading.request.document.size,
        },
    }
    return f'{{"pages":[{pages}],{to_json(about)[1:]}'


def _page(
    page: Page,
    pictures: Sequence[ImageBlock],
    cut: Sequence[Mapping[str, Any]],
    form: OcrRequest,
) -> dict[str, Any]:
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
    names = {number: _image_id(number) for number, _, _ in pictures}
    references = {number: f"![{name}]({name})" for number, name in names.items()}
    body["markdown"] = page_markdown(replace(page, text=text), references)
    files = {picture["block"]: _data_url(picture) for picture in cut}
    body["images"] = [
        {"id": names[number], **_corners(block), "image_base64": files.get(number)}
        for number, block, _ in pictures
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
            _block(number, block, scored) for number, block in enumerate(page.text.blocks, start=1)
        ]
    return body


def _taken_out(text: PageText, kind: str) -> tuple[str | None, PageText]:
    """The text of the blocks of this kind, and the page without it."""
    found = [clean(block.text).strip() for block in text.blocks if block.type == kind]
    # They stay as empty blocks: the others keep their numbers.
    rest = tuple(
        Block(kind, block.bbox, "") if block.type == kind else block for block in text.blocks
    )
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
    """Of block `number` from 1; Mistral counts from 0."""
    return f"img-{number - 1}"


def _data_url(picture: Mapping[str, Any]) -> str | None:
    """None for one that was left out."""
    data = picture["base64"]
    return None if data is None else f"data:{picture['media_type']};base64,{data}"


def _corners(block: Block) -> dict[str, int]:
    left, top, right, bottom = (round(edge) for edge in block.bbox)
    return {
        "top_left_x": left,
        "top_left_y": top,
        "bottom_right_x": right,
        "bottom_right_y": bottom,
    }
