"""The page model as PaddleX answers it. For a thread, as `results.answer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.pipeline.format import block_content, page_markdown
from ocr_inference.pipeline.magic import PDF
from ocr_inference.pipeline.page import Block, Page, Task
from ocr_inference.reading.request import Reading
from ocr_inference.results.answer import Images

_LABELS = {
    "title": "paragraph_title",
    "formula": "display_formula",
    "caption": "figure_title",
    "footnote": "vision_footnote",
    "page_number": "number",
}
"""Types of ours that PaddleX calls otherwise."""


def answer(reading: Reading, images: Images, pretty: bool, log_id: str) -> str:
    """`pretty`: pictures are named in HTML, with their width, and not in Markdown."""
    pages = (
        to_json(_page(page, reading, images.pages.get(page.number, ()), pretty))
        for page in reading.pages
    )
    about = {"logId": log_id, "errorCode": 0, "errorMsg": "Success"}
    result = (
        f'{{"layoutParsingResults":[{",".join(pages)}],"dataInfo":{to_json(_data_info(reading))}}}'
    )
    return f'{to_json(about)[:-1]},"result":{result}}}'


def _page(
    page: Page, reading: Reading, cut: Sequence[Mapping[str, Any]], pretty: bool
) -> dict[str, Any]:
    pruned: dict[str, Any] = {
        "page_count": reading.found.page_count,
        "width": page.width,
        "height": page.height,
        "model_settings": _settings(reading.request.task),
        "parsing_res_list": [
            _block(number, block)
            for number, block in enumerate(page.text.blocks if page.text else (), start=1)
        ],
    }
    if page.error is not None:
        pruned["error"] = page.error
    files = {picture["block"]: picture for picture in cut if picture["base64"] is not None}
    references = {
        number: _reference(picture, page.width, pretty) for number, picture in files.items()
    }
    markdown = {
        "text": page_markdown(page, references),
        "images": {_path(picture): picture["base64"] for picture in files.values()},
        "isStart": True,
        "isEnd": True,
    }
    return {"prunedResult": pruned, "markdown": markdown, "outputImages": None, "inputImage": None}


def _path(picture: Mapping[str, Any]) -> str:
    edges = "_".join(str(int(edge)) for edge in picture["bbox"])
    suffix = "png" if picture["media_type"] == "image/png" else "jpg"
    return f"imgs/img_in_{picture['type']}_box_{edges}.{suffix}"


def _reference(picture: Mapping[str, Any], page_width: int, pretty: bool) -> str:
    path, (left, _, right, _) = _path(picture), picture["bbox"]
    if not pretty:
        return f"![]({path})"
    share = int((right - left) / page_width * 100)
    image = f'<img src="{path}" alt="Image" width="{share}%" />'
    return f'<div style="text-align: center;">{image}</div>'


def _settings(task: Task) -> dict[str, bool]:
    return {"use_doc_preprocessor": False, "use_layout_detection": task == "parse"}


def _block(number: int, block: Block) -> dict[str, Any]:
    left, top, right, bottom = (round(edge) for edge in block.bbox)
    return {
        "block_label": _LABELS.get(block.type, block.type),
        "block_content": block_content(block),
        "block_bbox": [left, top, right, bottom],
        "block_id": number,
        "block_order": number,
        "group_id": number,
        "block_polygon_points": [[left, top], [right, top], [right, bottom], [left, bottom]],
    }


def _data_info(reading: Reading) -> dict[str, Any]:
    sizes = [{"width": page.width, "height": page.height} for page in reading.pages]
    if reading.found.media_type == PDF:
        return {"numPages": reading.found.page_count, "pages": sizes, "type": "pdf"}
    return {**sizes[0], "type": "image"}
