"""A document on its way to disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

from ocr_inference.errors import DISK_FULL, storage_full
from ocr_inference.reading.request import Document

NAME = "document"
"""What a document without a name is called."""


class DocumentFile:
    """Written to `path` piece by piece. All of it blocks: for a thread.

    Raises `PublicError` 503 storage_full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        try:
            self._file.write(data)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise storage_full() from error
            raise

    def finish(self, name: str = NAME) -> Document:
        """Everything was written."""
        try:
            self._file.close()
        except OSError as error:
            if error.errno in DISK_FULL:
                raise storage_full() from error
            raise
        return Document(self._path, name, self.size, self._digest.hexdigest())
