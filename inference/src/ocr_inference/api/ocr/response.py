"""A finished answer as an HTTP response."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import quote

from fastapi.responses import Response, StreamingResponse

from ocr_inference.api.status_headers import status_headers
from ocr_inference.results.outputs import OUTPUT_MEDIA_TYPES, Written

_CHUNK_BYTES = 256 * 1024

CONTENT: dict[str, Any] = {kind.partition(";")[0]: {} for kind in OUTPUT_MEDIA_TYPES.values()}
"""The formats of an answer, as OpenAPI lists them."""

_TO_SHOW = frozenset(("json", "text", "markdown"))
"""What a browser shows; the others are files to keep."""


def written_response(written: Written, about: Mapping[str, Any]) -> Response:
    """With headers for the formats that have no room for what `about` says."""
    headers = status_headers(about["status"], about["warnings"])
    if written.output not in _TO_SHOW:
        headers["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(written.file_name)}"
    if isinstance(written.content, bytes):
        return Response(written.content, media_type=written.media_type, headers=headers)
    # From the disk: a client that is slow to take it is not to hold it in memory.
    headers["Content-Length"] = str(os.fstat(written.content.fileno()).st_size)
    return StreamingResponse(_chunks(written.content), 200, headers, written.media_type)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
