"""Jobs in the server's own workspace: for a server without S3. They end with the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from ocr_inference.errors import DISK_FULL
from ocr_inference.jobs.store import ABSENT, Changed, Storage
from ocr_inference.sinks.base import StoreFailed

P = ParamSpec("P")
R = TypeVar("R")


class LocalObjects:
    """One file an object. Inputs are linked, not copied: they were received on this disk."""

    storage: Storage = "local"
    shared = False
    conditional = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tags: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._writes = 0
        self._lock = threading.Lock()

    def distrust(self) -> None:
        raise AssertionError

    @property
    def used_bytes(self) -> int:
        """Of all objects together."""
        return sum(self._sizes.values())

    async def put(self, key: str, body: bytes, tag: str | None = None) -> str:
        return await self._do(self._put, key, body, tag)

    async def get(self, key: str) -> tuple[bytes, str] | None:
        return await self._do(self._get, key)

    async def list(self, prefix: str, limit: int = 10_000) -> dict[str, str]:
        with self._lock:
            keys = sorted(key for key in self._tags if key.startswith(prefix))
            return {key: self._tags[key] for key in keys[:limit]}

    async def delete(self, *keys: str) -> None:
        await self._do(self._delete, keys)

    async def put_file(self, key: str, path: Path) -> None:
        await self._do(self._put_file, key, path)

    async def get_file(self, key: str, path: Path, _size: int) -> bool:
        return await self._do(self._get_file, key, path)

    @staticmethod
    async def _do(work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        try:
            return await asyncio.to_thread(work, *arguments, **named)
        except OSError as error:
            full = error.errno in DISK_FULL
            raise StoreFailed(
                "There is no room for this job now."
                if full
                else "The temporary directory does not take the job."
            ) from error

    def _put(self, key: str, body: bytes, tag: str | None) -> str:
        with self._lock:
            if tag is not None and self._tags.get(key, ABSENT) != tag:
                raise Changed(key)
            path = self._path(key)
            part = path.with_name(f"{path.name}.part")
            try:
                part.write_bytes(body)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            return self._note(key, len(body))

    def _get(self, key: str) -> tuple[bytes, str] | None:
        with self._lock:
            tag = self._tags.get(key)
            return None if tag is None else (self._path(key).read_bytes(), tag)

    def _delete(self, keys: tuple[str, ...]) -> None:
        with self._lock:
            for key in keys:
                if self._tags.pop(key, None) is not None:
                    del self._sizes[key]
                    self._path(key).unlink(missing_ok=True)

    def _put_file(self, key: str, path: Path) -> None:
        with self._lock:
            self._path(key).hardlink_to(path)
            self._note(key, path.stat().st_size)

    def _get_file(self, key: str, path: Path) -> bool:
        with self._lock:
            if key not in self._tags:
                return False
            path.hardlink_to(self._path(key))
            return True

    def _note(self, key: str, size: int) -> str:
        self._writes += 1
        self._sizes[key] = size
        self._tags[key] = str(self._writes)
        return self._tags[key]

    def _path(self, key: str) -> Path:
        # Keys are ours: an ID, a hash, a name from this package. Flat, so that no folder is left.
        self._folder.mkdir(exist_ok=True)
        return self._folder / key.replace("/", "_")
