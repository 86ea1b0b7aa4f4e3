"""What was read, written in the format that the client wants: the same for every route.

Made from the pages, and for some formats the document: whoever has both can write any format, at
any time and on any replica.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from fastapi.responses import Response

from ocr_inference.api.ocr.answer import Answer
from ocr_inference.api.ocr.schema import Output
from ocr_inference.engine.decoder import Decoder
from ocr_inference.reading.request import Document
from ocr_inference.workspace import Workspace

MEDIA_TYPES: dict[Output, str] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
SUFFIXES: dict[Output, str] = {"json": ".json", "text": ".txt", "markdown": ".md"}


@dataclass(frozen=True, slots=True)
class Written:
    """A finished answer. `file_name` is for people, and safe as one."""

    media_type: str
    file_name: str
    body: bytes

    def response(self, about: Mapping[str, Any]) -> Response:
        """With headers for the formats that have no room for what `about` says."""
        headers = {"X-OCR-Status": about["status"]}
        if warnings := about["warnings"]:
            headers["X-OCR-Warnings"] = ", ".join(warning["code"] for warning in warnings)
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
        body = await asyncio.to_thread(_text_body, output, answer)
        name = PurePath(document.name).stem + SUFFIXES[output]
        return Written(MEDIA_TYPES[output], name, body)


def _text_body(output: Output, answer: Answer) -> bytes:
    match output:
        case "json":
            return answer.json().encode()
        case "text":
            return answer.text.encode()
        case "markdown":
            return answer.markdown.encode()
