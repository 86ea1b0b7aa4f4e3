"""What was read, written in the format that the client wants: the same for every route.

Made from the pages, and for some formats the document: whoever has both can write any format, at
any time and on any replica.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO

from ocr_inference.engine.decoder import Decoder
from ocr_inference.errors import storage_full
from ocr_inference.pipeline.alto import as_alto
from ocr_inference.pipeline.hocr import as_hocr
from ocr_inference.pipeline.magic import HEAD_BYTES, PDF, media_type_of
from ocr_inference.pipeline.page import Page
from ocr_inference.pipeline.plain import Origin
from ocr_inference.pipeline.text_layer import write_layers
from ocr_inference.results.answer import Answer
from ocr_inference.results.form import Output
from ocr_inference.results.images import ImageCutter
from ocr_inference.results.spool import Spool
from ocr_inference.sources.file import Document
from ocr_inference.version import VERSION
from ocr_inference.workspace import Workspace

OUTPUT_MEDIA_TYPES: dict[Output, str] = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
    "hocr": "text/vnd.hocr+html; charset=utf-8",
    "alto": "application/alto+xml",
    "pdf": "application/pdf",
}
SUFFIXES: dict[Output, str] = {
    "json": ".json",
    "text": ".txt",
    "markdown": ".md",
    "hocr": ".hocr",
    "alto": ".xml",
    "pdf": ".pdf",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A finished answer. `file_name` is for people, and safe as one; `content` may be a file that
    has no name any more and is gone when it is closed."""

    output: Output
    file_name: str
    content: bytes | BinaryIO

    @property
    def media_type(self) -> str:
        return OUTPUT_MEDIA_TYPES[self.output]

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read()


class Outputs:
    def __init__(self, decoder: Decoder, workspace: Workspace) -> None:
        self._decoder = decoder
        self._workspace = workspace
        self.images = ImageCutter(decoder, workspace)
        self.spool = Spool(workspace)

    async def write(
        self, output: Output, answer: Answer, document: Document, client: str, deadline: float
    ) -> Written:
        """Write `answer`; `deadline` is on the monotonic clock.

        Raises `PublicError`: 504 deadline_exceeded, 503 storage_full, and what is wrong with the
        document where its own pages are part of the output.
        """
        name = PurePath(document.name).stem + SUFFIXES[output]
        if output == "pdf":
            return Written(output, name, await self._pdf(answer, document, client, deadline))
        if output == "json":
            answer = await self.images.added(answer, document, client, deadline)
        parts = partial(_text_parts, output, answer, document.name)
        return Written(output, name, await self.spool.write(parts))

    async def _pdf(
        self, answer: Answer, document: Document, client: str, deadline: float
    ) -> BinaryIO:
        with contextlib.ExitStack() as files:
            layers = files.enter_context(self._workspace.file(".layers"))
            out = files.enter_context(self._workspace.file(".pdf"))
            await asyncio.to_thread(_write_layers, layers, answer.pages)
            pictures = []
            if await asyncio.to_thread(_media_type, document.path) != PDF:
                for page in answer.pages:
                    picture = files.enter_context(self._workspace.file(".picture"))
                    await self._decoder.picture(
                        client, document.path, page.number, picture, deadline
                    )
                    pictures.append(picture)
            await self._decoder.write_pdf(
                client, document.path, layers, pictures, len(answer.pages), out, deadline
            )
            return out.open("rb")


def needs_document(output: Output, answer: Answer) -> bool:
    """Whether what was sent is needed to write this format: its own pages, or pictures of them."""
    return output == "pdf" or (output == "json" and answer.lacks_images)


def _write_layers(path: Path, pages: Sequence[Page]) -> None:
    try:
        write_layers(path, pages)
    except OSError as error:
        raise storage_full() from error


def _media_type(path: Path) -> str:
    with path.open("rb") as file:
        return media_type_of(file.read(HEAD_BYTES))[0]


def _text_parts(output: Output, answer: Answer, name: str) -> Iterable[str]:
    match output:
        case "json":
            return answer.json_parts()
        case "text":
            return (answer.text,)
        case "markdown":
            return (answer.markdown,)
        case "hocr":
            return (as_hocr(answer.pages, _origin(answer, name)),)
        case "alto":
            return (as_alto(answer.pages, _origin(answer, name)),)
        case "pdf":
            raise AssertionError("a PDF is written from the document")


def _origin(answer: Answer, name: str) -> Origin:
    """Several languages are none: the formats want to know which text is in which."""
    languages = answer.about["languages"]
    return Origin(
        file_name=name,
        software=f"ocr-inference {VERSION} ({answer.about['model']})",
        language=languages[0] if len(languages) == 1 else "",
    )
