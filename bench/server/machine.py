"""The cores that a bench uses, and what a server's processes take of the machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

CORES = 2
"""What the bars are said for; a larger machine is cut down to them."""

MIB = 2**20
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


def processes(pid: int) -> list[psutil.Process]:
    """The process and all below it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def resident(pid: int) -> int:
    """Sum of the resident memory of a process and all below it, bytes."""
    total = 0
    try:
        for process in processes(pid):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # ended since it was listed
    return total


def cpu_seconds(pid: int) -> float:
    """Of a process and all below it that still run."""
    total = 0.0
    try:
        for process in processes(pid):
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


@dataclass
class MemoryCurve:
    """Resident memory of a server over time; seconds from the beginning and bytes."""

    times: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @property
    def peak_mib(self) -> float:
        return max(self.sizes) / MIB

    @property
    def last_mib(self) -> float:
        return self.sizes[-1] / MIB


@contextmanager
def memory_watched(pid: int, every_s: float = 0.25) -> Iterator[MemoryCurve]:
    curve, ended = MemoryCurve(), threading.Event()
    began = time.monotonic()

    def sample() -> None:
        while True:
            size = resident(pid)
            curve.times.append(round(time.monotonic() - began, 2))
            curve.sizes.append(size)
            if ended.wait(every_s):
                return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield curve
    finally:
        ended.set()
        thread.join()
