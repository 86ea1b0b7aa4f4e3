"""The cores that a bench uses, and what a server's processes take of the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from processes import family

CORES = 2
"""What the bars are said for; a larger machine is cut down to them."""

_QUIET_SHARE = 0.05
_QUIET_S = 2.0


@contextmanager
def two_cores() -> Iterator[int]:
    """This process and what it starts run on two cores; the number of them that there are."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield len(os.sched_getaffinity(0))
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """Of a process and all below it that still run."""
    total = 0.0
    try:
        for process in family(pid):
            times = process.cpu_times()
            total += times.user + times.system
    except psutil.NoSuchProcess:
        pass
    return total


def settle(*pids: int, patience_s: float = 120.0) -> None:
    """Wait until these servers have nothing more to load."""
    until = time.monotonic() + patience_s
    quiet_since = time.monotonic()
    used, asked = sum(map(cpu_seconds, pids)), time.monotonic()
    while time.monotonic() - quiet_since < _QUIET_S:
        assert time.monotonic() < until, "the servers do not come to rest"
        time.sleep(0.5)
        now, at = sum(map(cpu_seconds, pids)), time.monotonic()
        if (now - used) / (at - asked) > _QUIET_SHARE:
            quiet_since = at
        used, asked = now, at
