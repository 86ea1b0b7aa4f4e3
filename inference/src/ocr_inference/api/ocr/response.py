"""A finished answer as an HTTP response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi.responses import Response

from ocr_inference.api.sending import sent
from ocr_inference.api.status_headers import status_headers
from ocr_inference.results.outputs import OUTPUT_MEDIA_TYPES, Written
from ocr_inference.services import Services

CONTENT: dict[str, Any] = {kind.partition(";")[0]: {} for kind in OUTPUT_MEDIA_TYPES.values()}
"""The formats of an answer, as OpenAPI lists them."""

_TO_SHOW = frozenset(("json", "text", "markdown"))
"""What a browser shows; the others are files to keep."""


def written_response(
    written: Written, about: Mapping[str, Any], services: Services, client: str
) -> Response:
    """With headers for the formats that have no room for what `about` says."""
    headers = status_headers(about["status"], about["warnings"])
    if written.output not in _TO_SHOW:
        headers["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(written.file_name)}"
    return sent(written.content, written.media_type, headers, services, client)
