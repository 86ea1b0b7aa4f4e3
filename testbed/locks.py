"""File locks that leave no file behind: the folder that is guarded is itself what is locked."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(
    folder: Path, mode: int = 0o755, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Holds the folder's lock, making the folder if need be. The kernel drops the lock of a process
    that dies.

    The holder may remove the folder: whoever waited for it then finds that the lock belongs to a
    folder that is gone, and begins anew.
    """
    while True:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        try:
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting:
                    waiting()
                fcntl.flock(fd, fcntl.LOCK_EX)
            if not is_still(folder, fd):
                continue
            yield
            return
        finally:
            os.close(fd)


def is_still(folder: Path, fd: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
