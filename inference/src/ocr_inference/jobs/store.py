"""Where jobs are kept: named objects with a tag that changes with their content."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

from ocr_inference.sinks.base import Changed

__all__ = ["ABSENT", "Changed", "Objects", "Storage"]

Storage = Literal["s3", "local"]

ABSENT = ""
"""The tag of what is not there."""


class Objects(Protocol):
    """Every call raises `StoreFailed` when the place does not do it; the sentence is public."""

    @property
    def storage(self) -> Storage: ...

    @property
    def shared(self) -> bool:
        """Other replicas see the same objects."""
        ...

    @property
    def conditional(self) -> bool:
        """`put` keeps its condition; otherwise the last writer wins."""
        ...

    def distrust(self) -> None:
        """The condition of a `put` was not kept."""
        ...

    async def put(self, key: str, body: bytes, tag: str | None = None) -> str:
        """Write, and return the new tag. With `tag`, only over what has that one: `Changed`."""
        ...

    async def get(self, key: str) -> tuple[bytes, str] | None:
        """The content and its tag."""
        ...

    async def list(self, prefix: str, limit: int = 10_000) -> dict[str, str]:
        """Tags by key, in the keys' order."""
        ...

    async def delete(self, *keys: str) -> None:
        """Remove what is there of them."""
        ...

    async def put_file(self, key: str, path: Path) -> None: ...

    async def get_file(self, key: str, path: Path, size: int, /) -> bool:
        """Whether the object, which has about so many bytes, was there, and is at `path` now."""
        ...
