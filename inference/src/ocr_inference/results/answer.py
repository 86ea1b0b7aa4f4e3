"""The JSON answer and the stored document, put together from what was read.

All of it takes seconds for a long document and is called in a thread. Page by page and straight to
JSON: the encoder holds the interpreter lock until it is done, and so does the garbage collector for
as many objects as there are. Probes would go unanswered meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.pipeline.format import as_markdown, as_text, page_body, page_results
from ocr_inference.pipeline.page import ConfidenceSource, Page
from ocr_inference.reading.request import Reading


@dataclass(frozen=True)
class Images:
    """The pictures that were cut out, by page number, as the JSON answer has them."""

    pages: Mapping[int, Sequence[Mapping[str, Any]]]
    left_out: int

    @property
    def warnings(self) -> list[dict[str, Any]]:
        if not self.left_out:
            return []
        message = f"{self.left_out} pictures are left out: the others fill the answer."
        return [{"code": "images_left_out", "message": message}]


@dataclass(frozen=True)
class Answer:
    """`about` is what is said beside the pages (`about_reading`), `include` what the JSON answer
    holds of each page. Everything else is made when it is first asked for."""

    about: dict[str, Any]
    pages: Sequence[Page]
    include: frozenset[str]
    images: Images | None = None

    @property
    def lacks_images(self) -> bool:
        """Whether pictures are to be in the JSON answer and were not cut out yet."""
        return "images" in self.include and self.images is None

    @cached_property
    def text(self) -> str:
        return as_text(self.pages)

    @cached_property
    def markdown(self) -> str:
        return as_markdown(self.pages)

    def json(self) -> str:
        """The JSON answer in one piece. What is of the pages is kept for the next."""
        return "".join(self._about_parts()) + self._of_pages

    def json_parts(self) -> Iterator[str]:
        """Put together they are the JSON answer; each is made when it is asked for."""
        yield from self._about_parts()
        yield from [self._of_pages] if "_of_pages" in vars(self) else self._page_parts()

    @cached_property
    def _of_pages(self) -> str:
        return "".join(self._page_parts())

    def _about_parts(self) -> Iterator[str]:
        about = self.about
        if self.images is not None and self.images.warnings:
            about = {**about, "warnings": [*about["warnings"], *self.images.warnings]}
        yield "{"
        yield from (f"{to_json(name)}:{to_json(value)}," for name, value in about.items())

    def _page_parts(self) -> Iterator[str]:
        yield f'"text":{to_json(self.text)},'
        yield f'"markdown":{to_json(self.markdown)},'
        yield '"results":['
        # Without the brackets: a list of each page makes one list of all.
        yield from _listed(to_json(page_results(page))[1:-1] for page in self.pages)
        yield '],"pages":['
        yield from _listed(map(self._page, self.pages))
        yield "]}"

    def _page(self, page: Page) -> str:
        images = None if self.images is None else self.images.pages[page.number]
        return to_json(page_body(page, self.include, images))


def about_reading(reading: Reading, engine: str, model: str, total_ms: float) -> dict[str, Any]:
    """What an answer says of a reading beside its pages."""
    times: dict[str, float | None] = {
        "queue_ms": reading.queue_ms,
        "decode_ms": reading.decode_ms,
        "render_ms": reading.total("render_ms"),
        "layout_ms": reading.layout_ms,
        "infer_ms": reading.total("infer_ms"),
        "total_ms": total_ms,
    }
    tokens = reading.tokens
    return {
        "id": reading.request.identifier,
        "status": "partial" if reading.errors else "success",
        "engine": engine,
        "model": model,
        "languages": list(reading.request.languages),
        "usage": {
            "pages": len(reading.pages),
            "bytes": reading.request.document.size,
            "input_tokens": tokens and tokens.input,
            "output_tokens": tokens and tokens.output,
        },
        "timings": {name: value and round(value, 1) for name, value in times.items()},
        "warnings": warnings_of(reading.pages, reading.request.min_confidence),
        "cached": reading.cached,
    }


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
        "created_at": to_json(request.created.isoformat()),
        "input": to_json(sent),
        "result": answer.json(),
    }
    return _object(values).encode()


def _listed(items: Iterable[str]) -> Iterator[str]:
    """The items that are not empty, with commas between them."""
    comma = ""
    for item in filter(None, items):
        yield comma
        yield item
        comma = ","


def _object(values: Mapping[str, str]) -> str:
    return f"{{{','.join(f'{to_json(name)}:{value}' for name, value in values.items())}}}"


def warnings_of(pages: Sequence[Page], min_confidence: float = 0.0) -> list[dict[str, Any]]:
    """What the reader of these pages should know, as the JSON answer says it."""
    read = [(page.number, page.text) for page in pages if page.text is not None]
    found: list[dict[str, Any]] = [
        {"code": notice.code, "page": number, "message": notice.message}
        for number, text in read
        for notice in text.notices
    ]
    unsure = any(text.confidence_source is ConfidenceSource.NONE for _, text in read)
    if min_confidence > 0 and unsure:
        message = "This engine gives no confidence: min_confidence was not applied."
        found.append({"code": "no_confidence", "message": message})
    return found
