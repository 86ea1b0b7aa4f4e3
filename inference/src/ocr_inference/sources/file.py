"""A document of a client's on our disk, and on its way there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ocr_inference.errors import PublicError, writing

NAME = "document"
"""What a document without a name is called."""

WRITE_BYTES = 1024 * 1024
"""Written and hashed in a thread in pieces of this size, so that a disk never stops the loop."""


def too_large(limit: int) -> PublicError:
    return PublicError(413, "file_too_large", f"The document exceeds {limit} bytes.", limit=limit)


@dataclass(frozen=True, slots=True)
class Document:
    """A file of a client's on our disk. `name` is for people: it names nothing on our side."""

    path: Path
    name: str
    size: int
    sha256: str


class DocumentFile:
    """Written to `path` piece by piece. All of it blocks: for a thread.

    Raises `PublicError` 503 storage_full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with writing():
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
        with writing():
            self._file.close()

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self.size += len(data)
        with writing():
            self._file.write(data)

    def finish(self, name: str = NAME) -> Document:
        """Everything was written."""
        with writing():
            self._file.close()
        return Document(self._path, name, self.size, self._digest.hexdigest())
