"""Memory of a server's processes, as the kernel counts it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

MIB = 1024**2


@dataclass
class Peak:
    """The most that all processes together held, in MiB, and the most of the first alone."""

    together: int = 0
    first: int = 0


def memory(pid: int) -> tuple[int, int]:
    """Resident MiB of a process and of its children together."""
    process = psutil.Process(pid)
    children = 0
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it may have just been replaced
            children += child.memory_info().rss
    return process.memory_info().rss // MIB, children // MIB


@contextlib.contextmanager
def watched_memory(pid: int, every: float = 0.02) -> Iterator[Peak]:
    """What is held meanwhile; the least step that is seen lasts `every` seconds."""
    peak, ended = Peak(), threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            own, children = memory(pid)
            peak.first = max(peak.first, own)
            peak.together = max(peak.together, own + children)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
