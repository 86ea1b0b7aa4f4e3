"""A JSON body with a document in it: the document goes to disk as it comes, the rest is parsed.

A parser would hold the body, and the string in it once more: 140 MB for a document of 50.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic_core

from ocr_inference.errors import PublicError
from ocr_inference.sources.file import WRITE_BYTES, Document
from ocr_inference.sources.inline import InlineFile
from ocr_inference.sources.space import MAX_REST_BYTES

INLINE_FROM = 64 * 1024
"""A string longer than this many bytes can only be the document."""

INLINE = "\0inline"
"""What stands in the payload where the long string was."""

_INLINE_JSON = json.dumps(INLINE)[1:-1].encode()
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_LONGEST_ESCAPE = len(rb"\u002b")


@dataclass(frozen=True, slots=True)
class JsonBody:
    """`inline` is the document where `INLINE` stands in `payload`."""

    payload: dict[str, Any]
    inline: Document | None


async def receive_json(
    content_type: str, body: AsyncIterator[bytes], path: Path, limit: int
) -> JsonBody:
    """Read the whole body; a document in it, of `limit` bytes at most, goes to `path`.

    Raises `PublicError`: 415 for another content type, 400 invalid_json, 413 field_too_large, and
    what `InlineFile` raises.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise PublicError(415, "unsupported_media_type", "Send application/json.")
    splitter = _Splitter()
    with await asyncio.to_thread(InlineFile, path, limit) as file:
        async for chunk in body:
            splitter.feed(chunk)
            if len(splitter.inline) >= WRITE_BYTES:
                await asyncio.to_thread(file.write, splitter.take_inline())
        splitter.finish()
        inline = None
        if splitter.found_inline:
            await asyncio.to_thread(file.write, splitter.take_inline())
            inline = await asyncio.to_thread(file.finish)
    return JsonBody(_parsed(splitter.rest), inline)


class _Splitter:
    """Parts the one long string of a JSON text from the rest. Knows of JSON only where strings
    begin and end."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self.inline = bytearray()
        self.found_inline = False
        self._in_string = False
        self._string = bytearray()
        self._is_inline = False
        self._carried = b""

    def feed(self, chunk: bytes) -> None:
        chunk, self._carried = self._carried + chunk, b""
        at = 0
        while at < len(chunk):
            at = self._string_part(chunk, at) if self._in_string else self._between(chunk, at)

    def finish(self) -> None:
        if self._in_string:
            raise _invalid()

    def take_inline(self) -> bytes:
        """The string so far, without its escapes; one that is not whole yet stays behind."""
        keep = len(self.inline)
        if self._in_string:
            begun = self.inline.rfind(b"\\", -_LONGEST_ESCAPE)
            keep = begun if begun >= 0 else keep
        taken, self.inline = bytes(self.inline[:keep]), self.inline[keep:]
        if b"\\" not in taken:
            return taken
        try:
            return str(json.loads(b'"' + taken + b'"')).encode()
        except ValueError:
            raise _invalid() from None

    def _between(self, chunk: bytes, at: int) -> int:
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote + 1
        self._add(chunk[at:end])
        self._in_string = quote >= 0
        return end

    def _string_part(self, chunk: bytes, at: int) -> int:
        match = _REST_OF_STRING.match(chunk, at)
        end = at if match is None else match.end()
        self._take_string(chunk[at:end])
        if end == len(chunk):
            return end
        if chunk[end : end + 1] == b"\\":  # the character after it is still to come
            self._carried = chunk[end:]
            return len(chunk)
        self._end_string()
        return end + 1

    def _take_string(self, part: bytes) -> None:
        if self._is_inline:
            self.inline += part
            return
        self._string += part
        if len(self._string) <= INLINE_FROM:
            return
        if self.found_inline:
            raise PublicError(
                413, "field_too_large", f"A second string exceeds {INLINE_FROM} bytes."
            )
        self.found_inline = self._is_inline = True
        self.inline, self._string = self._string, bytearray()

    def _end_string(self) -> None:
        self._add(_INLINE_JSON if self._is_inline else self._string)
        self._add(b'"')
        self._string = bytearray()
        self._in_string = self._is_inline = False

    def _add(self, part: bytes | bytearray) -> None:
        self.rest += part
        if len(self.rest) > MAX_REST_BYTES:
            raise PublicError(
                413, "field_too_large", f"Beside the document are more than {MAX_REST_BYTES} bytes."
            )


def _parsed(text: bytearray) -> dict[str, Any]:
    try:
        payload = pydantic_core.from_json(bytes(text), allow_inf_nan=False)
    except ValueError:  # it says where, and may quote the text
        raise _invalid() from None
    if not isinstance(payload, dict):
        raise PublicError(400, "invalid_json", "The body is not a JSON object.")
    return payload


def _invalid() -> PublicError:
    return PublicError(400, "invalid_json", "The body is not valid JSON.")
