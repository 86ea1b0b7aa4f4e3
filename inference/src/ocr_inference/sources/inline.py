"""A document inside a request: base64, bare or as a `data:` URL, decoded to disk as it comes."""

from __future__ import annotations

import binascii
import re
from pathlib import Path

from ocr_inference.errors import PublicError
from ocr_inference.sources.file import NAME, Document, DocumentFile, too_large

_PREFIX = re.compile(rb"data:[^,]{0,256};base64,", re.IGNORECASE)
_LONGEST_PREFIX = 512

_ALPHABET = bytes.maketrans(b"-_", b"+/")
_BLANK = b" \t\r\n"


class InlineFile(DocumentFile):
    """Takes base64 text and writes what it says.

    Raises `PublicError`: 422 invalid_base64, 413 file_too_large for more than `limit` bytes, 503
    storage_full.
    """

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path)
        self._limit = limit
        self._text = b""
        self._started = False
        self._padded = False

    def write(self, data: bytes) -> None:
        self._text += data
        if not self._started and len(self._text) < _LONGEST_PREFIX:
            return
        self._decode(whole=False)

    def finish(self, name: str = NAME) -> Document:
        self._decode(whole=True)
        return super().finish(name)

    def _decode(self, whole: bool) -> None:
        if not self._started:
            self._started = True
            if prefix := _PREFIX.match(self._text):
                self._text = self._text[prefix.end() :]
        text = self._text.translate(_ALPHABET, _BLANK)
        # Four characters are three bytes; some writers leave out the padding at the end.
        cut = len(text) if whole else len(text) // 4 * 4
        text, self._text = text[:cut], text[cut:]
        if whole:
            text += b"=" * (-len(text) % 4)
        if not text:
            return
        if self._padded:
            raise _invalid()
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            raise _invalid() from None
        self._padded = text.endswith(b"=")
        if self.size + len(data) > self._limit:
            raise too_large(self._limit)
        super().write(data)


def decode(text: str, path: Path, limit: int) -> Document:
    """The document that all of `text` is. Blocks."""
    with InlineFile(path, limit) as file:
        file.write(text.encode("ascii", "replace"))
        return file.finish()


def _invalid() -> PublicError:
    return PublicError(
        422, "invalid_base64", "The document is neither base64 nor a data: URL with base64."
    )
