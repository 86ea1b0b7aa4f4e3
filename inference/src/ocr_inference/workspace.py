"""The server's own folder in the temporary directory, for uploads and page images.

An emptyDir outlives a restarted container, so what a killed predecessor left is swept at the start;
a lock that the kernel drops with the process tells the living from the dead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from ocr_inference.errors import writing

_PREFIX = "ocr-inference-"
_LOCK = "lock"


class Workspace:
    def __init__(self, temp_dir: Path) -> None:
        _sweep(temp_dir)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temp_dir))
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def file(self, suffix: str) -> Iterator[Path]:
        """A path of our own naming that is free; whatever is there at the end is removed. In a
        folder of its own, so that a thread or a child that is still at it leaves nothing later.

        Raises `PublicError` 503 storage_full.
        """
        folder = self.new_path("")
        with writing():
            folder.mkdir()
        try:
            yield folder / f"file{suffix}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def new_path(self, suffix: str) -> Path:
        return self.path / f"{uuid.uuid4().hex}{suffix}"

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(temp_dir: Path) -> None:
    for place in temp_dir.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(place / _LOCK, os.O_RDWR)
        except OSError:  # not ours, or being made right now
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(lock)
