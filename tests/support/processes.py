"""What a server's processes take of the machine, as the kernel counts it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

MIB = 1024**2


@dataclass
class MemoryCurve:
    """Resident memory over time: seconds from the beginning; bytes of all processes together, and
    of the first alone."""

    times: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    own: list[int] = field(default_factory=list)

    @property
    def peak_mib(self) -> float:
        return max(self.sizes) / MIB

    @property
    def own_peak_mib(self) -> float:
        return max(self.own) / MIB

    @property
    def last_mib(self) -> float:
        return self.sizes[-1] / MIB


def family(pid: int) -> list[psutil.Process]:
    """The process and all below it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def resident(pid: int) -> list[int]:
    """Resident bytes of a process and of each below it; 0 for one that has just ended."""
    sizes = []
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
            continue
        sizes.append(0)
    return sizes


def memory(pid: int) -> tuple[int, int]:
    """Resident MiB of a process and of all below it together."""
    own, *others = resident(pid)
    return own // MIB, sum(others) // MIB


@contextlib.contextmanager
def memory_watched(pid: int, every_s: float = 0.25) -> Iterator[MemoryCurve]:
    """What is held meanwhile; the least step that is seen lasts `every_s` seconds."""
    curve, ended = MemoryCurve(), threading.Event()
    began = time.monotonic()

    def sample() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while True:
                sizes = resident(pid)
                curve.times.append(round(time.monotonic() - began, 2))
                curve.sizes.append(sum(sizes))
                curve.own.append(sizes[0])
                if ended.wait(every_s):
                    return

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield curve
    finally:
        ended.set()
        thread.join()


def kept_waiting(process: int | str = "self") -> float:
    """Seconds that a process's main thread was ready to run and others had the cores.

    `thread-self` is the calling thread.
    """
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9


def container_process(pod: dict[str, Any]) -> int:
    """The first process of the pod's container, as this machine, which is the node, counts it."""
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    found = []
    for entry in Path("/proc").iterdir():
        # Processes come and go.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if entry.name.isdigit() and container in (entry / "cgroup").read_text():
                found.append(int(entry.name))
    assert found, f"no process is in the cgroup of container {container}"
    return min(found)
