"""When an engine child has outgrown its container: engines leak, and an OOM ends the container."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("ocr_inference.engine")

LARGEST_SHARE = 0.85
"""Of the container's memory limit."""


class MemoryBound:
    def __init__(self, limit: int | None) -> None:
        """`limit` of the container in bytes; without one no child is ever too large."""
        self._most = None if limit is None else int(limit * LARGEST_SHARE)
        self._pid = 0
        self._in_vain = False

    def exceeded(self, pid: int) -> bool:
        """Asked after every page. False for a child that was too large after its first page
        already: the model needs that much, and another child would need it too."""
        if self._most is None:
            return False
        large = resident_bytes(pid) > self._most
        if pid != self._pid:
            self._pid, self._in_vain = pid, large
            if large:
                log.warning("the model needs more than %.0f %% of memory", LARGEST_SHARE * 100)
        return large and not self._in_vain


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """What only the end of the process gives back; mapped files the kernel takes when it must.
    0 for a process that has ended."""
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    kept = ("RssAnon:", "RssShmem:")
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(kept))
