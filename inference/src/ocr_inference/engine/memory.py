"""When the server has outgrown its container: engines leak, and an OOM ends the container."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

log = logging.getLogger("ocr_inference.engine")

LARGEST_SHARE = 0.85
"""Of the container's memory limit, for all processes of the server together."""

LEAST_SERVICE_S = 60.0
SERVICE_PER_LOAD = 10.0
"""A child is replaced after so many seconds of service, and so many times what its load took: where
every page needs nearly all of the memory, loading must not become what the server does."""


class MemoryBound:
    """Of one engine child and its replacements."""

    def __init__(
        self,
        limit: int | None,
        children: Callable[[], Iterable[int]],
        engines: Callable[[], Iterable[int]],
    ) -> None:
        """`limit` of the container in bytes; without one no child is ever too large. `children` are
        the process IDs of all of them, `engines` of those that read."""
        self._most = math.inf if limit is None else limit * LARGEST_SHARE
        self._children = children
        self._engines = engines
        self._pid = 0
        self._replaceable_from = math.inf
        self._warned = False

    def loaded(self, pid: int, seconds: float, now: float) -> None:
        """An engine child is ready; its load took so long. One that is too large before its first
        page is kept: the model needs that much, and another child would need it too."""
        self._pid = pid
        if resident_bytes(pid) > self._most:
            self._replaceable_from = math.inf
        else:
            self._replaceable_from = now + max(LEAST_SERVICE_S, SERVICE_PER_LOAD * seconds)

    def short(self) -> bool:
        """Whether the processes together hold more than they may."""
        if self._most == math.inf:
            return False
        return sum(map(resident_bytes, (os.getpid(), *self._children()))) > self._most

    def exceeded(self, now: float) -> bool:
        """Whether the engine child is to be replaced, the largest of them. Asked after every
        page."""
        if not self.short():
            return False
        if resident_bytes(self._pid) < max(map(resident_bytes, self._engines()), default=0):
            return False
        if now >= self._replaceable_from:
            return True
        if not self._warned:
            self._warned = True
            log.warning("more than %.0f %% of the memory is needed", LARGEST_SHARE * 100)
        return False


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """What only the end of the process gives back; mapped files the kernel takes when it must.
    0 for a process that has ended."""
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    kept = ("RssAnon:", "RssShmem:")
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kept))
