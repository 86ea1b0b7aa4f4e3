"""A written answer on its way to the client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ocr_inference.results.untaken import Untaken
from ocr_inference.services import Services

_PIECE_BYTES = 64 * 1024


def sent(
    content: bytes | BinaryIO,
    media_type: str,
    headers: Mapping[str, str],
    services: Services,
    client: str,
) -> Response:
    """The response. A file is sent from the disk, counted as not taken until its end, and closed.
    One that is never sent is gone with the response."""
    if isinstance(content, bytes):
        return Response(content, media_type=media_type, headers=headers)
    return _FileResponse(content, media_type, headers, services.untaken, client)


class _FileResponse(StreamingResponse):
    def __init__(
        self,
        file: BinaryIO,
        media_type: str,
        headers: Mapping[str, str],
        untaken: Untaken,
        client: str,
    ) -> None:
        self._file, self._untaken, self._client = file, untaken, client
        self._size = os.fstat(file.fileno()).st_size
        told = {**headers, "Content-Length": str(self._size)}
        super().__init__(_pieces(file), 200, told, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file, self._untaken.holding(self._client, self._size):
            await super().__call__(scope, receive, send)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece
