"""Results in a folder, for a server without S3: one JSON file a request. Never the input."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread

from ocr_inference.metrics import Metrics
from ocr_inference.sinks.base import Place

PARTS = ".parts"
"""Folder of the files that are being written, in the output folder: on the same file system."""

PART_LIFE_S = 86400.0

_REASONS = {
    errno.ENOSPC: "The output folder is full.",
    errno.EDQUOT: "The output folder is full.",
    errno.EROFS: "The output folder is read-only.",
    errno.EACCES: "The output folder may not be written to.",
    errno.EPERM: "The output folder may not be written to.",
    errno.ENOENT: "The output folder is missing.",
}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`key` is the file's path below the output folder."""

    key: str


class FolderSink:
    def __init__(self, folder: Path | None, metrics: Metrics) -> None:
        self.folder = folder
        self._place = Place("The output folder", metrics.output_operations, "write", _sentence)

    @property
    def configured(self) -> bool:
        return self.folder is not None

    def prepare(self) -> None:
        """Tidy up. A dead volume blocks this for ever, so not in one of the few threads."""
        if self.folder is not None:
            Thread(target=_sweep, args=(self.folder,), name="sweep", daemon=True).start()

    async def store(self, key: str, body: bytes, remaining: float) -> StoredFile:
        """`remaining` are the seconds until the request's own deadline. Raises `StoreFailed`."""
        assert self.folder is not None  # noqa: S101 - the caller asks `configured`
        await self._place.ask(partial(_write, self.folder, key, body), remaining)
        return StoredFile(key)


def _sentence(error: Exception) -> str:
    reason = error.errno if isinstance(error, OSError) else None
    return _REASONS.get(reason or 0, "The output folder did not take the result.")


def _write(folder: Path, key: str, body: bytes) -> None:
    """A reader sees the whole file or none, also after a power cut."""
    if not folder.is_dir():  # made here, it would be beside the volume that is meant
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    path = folder / key
    part = folder / PARTS / path.name
    for parent in (part.parent, path.parent):
        parent.mkdir(parents=True, exist_ok=True)
    try:
        with part.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync(path.parent)


def _sweep(folder: Path) -> None:
    """Remove what killed servers have left, but not what another one is writing."""
    old = time.time() - PART_LIFE_S
    with contextlib.suppress(OSError):
        for part in (folder / PARTS).iterdir():
            if part.stat().st_mtime < old:
                part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
