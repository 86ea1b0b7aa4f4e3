"""What was read, written in the format that the client wants: the same for every route.

Made from the pages, and for some formats the document: whoever has both can write any format, at
any time and on any replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from fastapi.responses import Response

from ocr_inference.api.ocr.answer import Answer
from ocr_inference.api.ocr.schema import Output
from ocr_inference.engine.decoder import Decoder
from ocr_inference.pipeline.alto import as_alto
from ocr_inference.pipeline.hocr import as_hocr
from ocr_inference.pipeline.plain import Origin
from ocr_inference.reading.request import Document
from ocr_inference.workspace import Workspace

MEDIA_TYPES: dict[Output, str] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "hocr": "text/vnd.hocr+html; charset=utf-8",
    "alto": "application/alto+xml",
}
SUFFIXES: dict[Output, str] = {
    "json": ".json",
    "text": ".txt",
    "markdown": ".md",
    "hocr": ".hocr",
    "alto": ".xml",
}
_TO_SHOW = frozenset(("json", "text", "markdown"))
"""What a browser shows; the others are files to keep."""


@dataclass(frozen=True, slots=True)
class Written:
    """A finished answer. `file_name` is for people, and safe as one."""

    output: Output
    file_name: str
    body: bytes

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.output]

    def response(self, about: Mapping[str, Any]) -> Response:
        """With headers for the formats that have no room for what `about` says."""
        headers = {"X-OCR-Status": about["status"]}
        if warnings := about["warnings"]:
            headers["X-OCR-Warnings"] = ", ".join(warning["code"] for warning in warnings)
        if self.output not in _TO_SHOW:
            headers["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(self.file_name)}"
        return Response(self.body, media_type=self.media_type, headers=headers)


class Outputs:
    def __init__(self, decoder: Decoder, workspace: Workspace) -> None:
        self._decoder = decoder
        self._workspace = workspace

    async def write(
        self,
        output: Output,
        answer: Answer,
        document: Document,
        client: str,  # noqa: ARG002 - for the formats that need the document
        deadline: float,  # noqa: ARG002
    ) -> Written:
        """Write `answer`; `deadline` is on the monotonic clock.

        Raises `PublicError`: 504 deadline_exceeded, 503 storage_full, and what is wrong with the
        document where its own pages are part of the output.
        """
        body = await asyncio.to_thread(_text_body, output, answer, document.name)
        return Written(output, PurePath(document.name).stem + SUFFIXES[output], body)


def _text_body(output: Output, answer: Answer, name: str) -> bytes:
    match output:
        case "json":
            return answer.json().encode()
        case "text":
            return answer.text.encode()
        case "markdown":
            return answer.markdown.encode()
        case "hocr":
            return as_hocr(answer.pages, _origin(answer, name)).encode()
        case "alto":
            return as_alto(answer.pages, _origin(answer, name)).encode()


def _origin(answer: Answer, name: str) -> Origin:
    """Several languages are none: the formats want to know which text is in which."""
    languages = answer.about["languages"]
    return Origin(
        file_name=name,
        software=f"ocr-inference {version('ocr-inference')} ({answer.about['model']})",
        language=languages[0] if len(languages) == 1 else "",
    )
