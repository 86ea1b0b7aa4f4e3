"""The JSON answer and the stored document, put together from what was read.

All of it is slow for a long document and is called in a thread, so that probes are answered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from ocr_inference.api.ocr.schema import OcrForm
from ocr_inference.engine.decoder import Inspection
from ocr_inference.pipeline.format import as_body
from ocr_inference.pipeline.page import ConfidenceSource, Page
from ocr_inference.sources.upload import Upload

_APART = 2
"""Levels of the answer that are encoded piece by piece: its keys, and the entries of each list."""


def answer_body(pages: tuple[Page, ...], form: OcrForm, about: dict[str, Any]) -> dict[str, Any]:
    """The body of the answer; `about` is what it says beside the pages."""
    return {
        **about,
        **as_body(pages, frozenset(form.include)),
        "warnings": _warnings(pages, form),
    }


def encoded(body: dict[str, Any]) -> bytes:
    """JSON in UTF-8."""
    return "".join(_pieces(body, _APART)).encode()


def document(body: dict[str, Any], created: datetime, upload: Upload, found: Inspection) -> bytes:
    """What is stored of a request: the answer, and what was sent without its content."""
    whole = {
        "created_at": created.isoformat(),
        "input": {
            "name": upload.name,
            "bytes": upload.size,
            "sha256": upload.sha256,
            "media_type": found.media_type,
            "page_count": found.page_count,
        },
        "result": body,
    }
    return "".join(_pieces(whole, _APART + 1)).encode()


def _pieces(value: Any, levels: int) -> Iterator[str]:
    """The C encoder holds the interpreter lock until it is done: for a long document so long that
    probes would go unanswered. Between two pieces the event loop has its turn."""
    if levels and isinstance(value, dict):
        entries = ((f"{_dump(name)}:", entry) for name, entry in value.items())
        yield from _joined("{", entries, "}", levels)
    elif levels and isinstance(value, list):
        yield from _joined("[", (("", entry) for entry in value), "]", levels)
    else:
        yield _dump(value)


def _joined(begin: str, entries: Iterable[tuple[str, Any]], end: str, levels: int) -> Iterator[str]:
    yield begin
    for index, (head, entry) in enumerate(entries):
        yield f",{head}" if index else head
        yield from _pieces(entry, levels - 1)
    yield end


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _warnings(pages: tuple[Page, ...], form: OcrForm) -> list[dict[str, Any]]:
    unsure = any(
        page.text is not None and page.text.confidence_source is ConfidenceSource.NONE
        for page in pages
    )
    if form.min_confidence > 0 and unsure:
        message = "This engine gives no confidence: min_confidence was not applied."
        return [{"code": "no_confidence", "message": message}]
    return []
