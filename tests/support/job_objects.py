"""A store of jobs in memory, for tests: it may be down, and may have no conditional writes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from ocr_inference.jobs.store import ABSENT, Changed
from ocr_inference.sinks.base import StoreFailed


class MemoryObjects:
    storage: Literal["s3", "local"] = "s3"
    shared = True

    def __init__(self, conditional: bool = True) -> None:
        self.conditional = conditional
        self.down = False
        self.lost_answers = 0
        """So many writes are done and then fail."""
        self.repeated: set[str] = set()
        """Endings of keys: a conditional write of theirs is done, its answer is lost, and what is
        sent again finds what the first time has written."""
        self.kept: dict[str, tuple[bytes, str]] = {}
        self.puts: list[str] = []

    def distrust(self) -> None:
        self.conditional = False

    async def put(self, key: str, body: bytes, tag: str | None = None) -> str:
        self._check()
        if self.conditional and tag is not None and self._tag(key) != tag:
            raise Changed(key)
        self.puts.append(key)
        self.kept[key] = body, str(len(self.puts))
        if tag is not None and self.conditional:
            for ending in [one for one in self.repeated if key.endswith(one)]:
                self.repeated.remove(ending)
                raise Changed(key)
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreFailed("The answer was lost.")
        return self._tag(key)

    async def get(self, key: str) -> tuple[bytes, str] | None:
        self._check()
        return self.kept.get(key)

    async def list(self, prefix: str, limit: int = 10_000) -> dict[str, str]:
        self._check()
        keys = sorted(key for key in self.kept if key.startswith(prefix))
        return {key: self._tag(key) for key in keys[:limit]}

    async def delete(self, *keys: str) -> None:
        self._check()
        for key in keys:
            self.kept.pop(key, None)

    async def put_file(self, key: str, path: Path) -> None:
        await self.put(key, await asyncio.to_thread(path.read_bytes))

    async def get_file(self, key: str, path: Path, _size: int) -> bool:
        self._check()
        if key in self.kept:
            await asyncio.to_thread(path.write_bytes, self.kept[key][0])
        return key in self.kept

    def _tag(self, key: str) -> str:
        return self.kept.get(key, (b"", ABSENT))[1]

    def _check(self) -> None:
        if self.down:
            raise StoreFailed("The store is down.")
