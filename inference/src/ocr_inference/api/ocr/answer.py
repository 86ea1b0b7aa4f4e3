"""The JSON answer and the stored document, put together from what was read.

All of it takes seconds for a long document and is called in a thread. Page by page and straight to
JSON: the encoder holds the interpreter lock until it is done, and so does the garbage collector for
as many objects as there are. Probes would go unanswered meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocr_inference.api.ocr.schema import OcrForm
from ocr_inference.pipeline.format import as_markdown, as_text, page_body, page_results
from ocr_inference.pipeline.page import ConfidenceSource, Page
from ocr_inference.reading.request import Reading


@dataclass(frozen=True, slots=True)
class Answer:
    """`about` is what is said beside the pages; `results` and `pages` are JSON."""

    about: dict[str, Any]
    text: str
    markdown: str
    results: str
    pages: str

    def json(self) -> str:
        return _object(
            {name: _dump(value) for name, value in self.about.items()}
            | {"text": _dump(self.text), "markdown": _dump(self.markdown)}
            | {"results": self.results, "pages": self.pages}
        )


def make_answer(pages: tuple[Page, ...], form: OcrForm, about: dict[str, Any]) -> Answer:
    include = frozenset(form.include)
    # Without the brackets: a list of each page makes one list of all.
    results = (_dump(page_results(page))[1:-1] for page in pages)
    return Answer(
        about={**about, "warnings": _warnings(pages, form)},
        text=as_text(pages),
        markdown=as_markdown(pages),
        results=f"[{','.join(filter(None, results))}]",
        pages=f"[{','.join(_dump(page_body(page, include)) for page in pages)}]",
    )


def document(answer: Answer, reading: Reading) -> bytes:
    """What is stored of a request: the answer, and what was sent without its content."""
    request, found = reading.request, reading.found
    sent = {
        "name": request.document.name,
        "bytes": request.document.size,
        "sha256": request.document.sha256,
        "media_type": found.media_type,
        "page_count": found.page_count,
    }
    values = {
        "created_at": _dump(request.created.isoformat()),
        "input": _dump(sent),
        "result": answer.json(),
    }
    return _object(values).encode()


def _object(values: Mapping[str, str]) -> str:
    return f"{{{','.join(f'{_dump(name)}:{value}' for name, value in values.items())}}}"


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _warnings(pages: tuple[Page, ...], form: OcrForm) -> list[dict[str, Any]]:
    read = [(page.number, page.text) for page in pages if page.text is not None]
    found: list[dict[str, Any]] = [
        {"code": notice.code, "page": number, "message": notice.message}
        for number, text in read
        for notice in text.notices
    ]
    unsure = any(text.confidence_source is ConfidenceSource.NONE for _, text in read)
    if form.min_confidence > 0 and unsure:
        message = "This engine gives no confidence: min_confidence was not applied."
        found.append({"code": "no_confidence", "message": message})
    return found
