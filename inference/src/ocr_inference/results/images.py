"""The blocks of pages that are pictures, cut out for an answer.

Cut from the document when an answer is written, and kept with neither pages nor jobs: a page of
photographs would take the room of a thousand pages of text.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocr_inference.engine.decoder import Decoder
from ocr_inference.engine.wire import Message
from ocr_inference.pipeline.format import image_body
from ocr_inference.pipeline.layout import ImageBlock, image_blocks
from ocr_inference.pipeline.page import Page
from ocr_inference.results.answer import Answer, Images
from ocr_inference.sources.file import Document
from ocr_inference.workspace import Workspace

MOST_IMAGES = 100
MOST_BYTES = 8 * 1024 * 1024
"""Of an answer's pictures before base64. In the making an answer is in memory several times."""


class ImageCutter:
    def __init__(self, decoder: Decoder, workspace: Workspace) -> None:
        self._decoder = decoder
        self._workspace = workspace

    async def added(
        self, answer: Answer, document: Document, client: str, deadline: float
    ) -> Answer:
        """The answer with its pictures, where it is to have them. `deadline` is on the monotonic
        clock.

        Raises `PublicError`: 504 deadline_exceeded, 503 storage_full, and what is wrong with the
        document.
        """
        if not answer.lacks_images:
            return answer
        wanted = [(page, image_blocks(page)) for page in answer.pages]
        return replace(answer, images=await self.cut(wanted, document, client, deadline))

    async def cut(
        self,
        pages: Sequence[tuple[Page, Sequence[ImageBlock]]],
        document: Document,
        client: str,
        deadline: float,
    ) -> Images:
        """The pictures of these blocks of these pages, as far as they fit. Raises as `added`."""
        room = _Room()
        cut: dict[int, Sequence[dict[str, Any]]] = {}
        with self._workspace.file(".crops") as out:
            for page, blocks in pages:
                wanted = blocks[: room.images]
                crops: list[Message | None] = []
                if wanted:
                    crops = await self._decoder.crops(
                        client,
                        document.path,
                        page.number,
                        page.dpi,
                        [box for _, _, box in wanted],
                        room.bytes,
                        out,
                        deadline,
                    )
                room.take(crops, len(blocks))
                cut[page.number] = await asyncio.to_thread(_bodies, blocks, crops, out)
        return Images(cut, room.left_out)


@dataclass
class _Room:
    """What an answer may still have."""

    images: int = MOST_IMAGES
    bytes: int = MOST_BYTES
    left_out: int = 0

    def take(self, crops: Sequence[Message | None], wanted: int) -> None:
        cut = [crop["length"] for crop in crops if crop is not None]
        self.left_out += wanted - len(cut)
        self.bytes -= sum(cut)
        # Once one did not fit, no page is rendered to find a smaller one.
        self.images = self.images - len(cut) if len(cut) == len(crops) else 0


def _bodies(
    blocks: Sequence[ImageBlock], crops: Sequence[Message | None], out: Path
) -> list[dict[str, Any]]:
    files = out.read_bytes() if any(crops) else b""
    padded = [*crops, *[None] * (len(blocks) - len(crops))]
    return [
        image_body(number, block, crop, None if crop is None else _base64(files, crop))
        for (number, block, _), crop in zip(blocks, padded, strict=True)
    ]


def _base64(files: bytes, crop: Mapping[str, Any]) -> str:
    data = files[crop["offset"] : crop["offset"] + crop["length"]]
    return base64.b64encode(data).decode("ascii")
