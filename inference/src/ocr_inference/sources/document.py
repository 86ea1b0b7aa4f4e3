"""The document that a field of a request names: inside the request, or at a URL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from ocr_inference.sources.file import Document
from ocr_inference.sources.inline import decode
from ocr_inference.sources.json_body import INLINE

Fetch = Callable[[str], Awaitable[Document]]

_URL = re.compile(r"(?!data:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
"""Base64 has no colon, so that nothing can be taken for both."""


async def named_document(
    source: str, inline: Document | None, path: Path, limit: int, fetch: Fetch
) -> Document:
    """`source` is a URL, a `data:` URL or base64; a long one was put aside as `inline` already.

    Raises `PublicError` as `fetch` does, and as `InlineFile` for more than `limit` bytes or what is
    not base64.
    """
    if inline is not None and source == INLINE:
        return inline
    if _URL.match(source):
        return await fetch(source)
    return await asyncio.to_thread(decode, source, path, limit)
