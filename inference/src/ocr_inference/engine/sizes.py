"""How many children of each kind this container has room for."""

from __future__ import annotations

import os

from ocr_inference.engine.cgroup import memory_limit
from ocr_inference.engine.cpu import cpu_threads
from ocr_inference.engine.memory import LARGEST_SHARE
from ocr_inference.engine.registry import MODELS

_MIB = 1024**2

OTHERS_BYTES = 272 * _MIB
"""The HTTP process and the page images."""

DECODER_BYTES = 64 * _MIB
"""What each decode child keeps for its next page."""

MOST_WITHOUT_LIMIT = 4
"""Engine children where no memory limit says what is ours: a node of 64 cores has other guests."""

CORES_PER_DECODER = 4
"""A page is decoded in a tenth of the time that a core takes to read it; twice as many as needed,
because one that hangs holds its child for half a minute."""


def pool_size(wanted: int, model: str, cpu_limit: float | None, resident: int) -> int:
    """Engine children, at least 1. `wanted` where it is not 0; else one for each core where the
    engine gains by it and the memory allows. `resident` bytes are those of one loaded child."""
    if wanted:
        return wanted
    known = MODELS.get(model)
    if known is None or not known.side_by_side:
        return 1
    most, limit = cpu_threads(cpu_limit), memory_limit()
    if limit is None:
        most, limit = min(most, MOST_WITHOUT_LIMIT), _physical_memory() // 2
    room = limit * LARGEST_SHARE - OTHERS_BYTES - decoders(cpu_limit) * DECODER_BYTES
    return max(1, min(most, int(room / max(resident + known.page_mib * _MIB, _MIB))))


def decoders(cpu_limit: float | None) -> int:
    """Decode children. Two at least: one may have met a file that it never gets on with."""
    return max(2, cpu_threads(cpu_limit) // CORES_PER_DECODER)


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
