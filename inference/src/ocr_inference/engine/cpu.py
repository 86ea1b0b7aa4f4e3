"""How many cores this container may use: by its cgroup, which `os.cpu_count()` does not know."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def cpu_limit(root: Path = _CGROUP_ROOT, own: Path = _OWN_CGROUP) -> float | None:
    """Cores allowed by CPU quota (cgroup v2 or v1), None without one. The tightest level counts."""
    limits = [limit for place in _places(root, own) if (limit := _quota(place)) is not None]
    return min(limits, default=None)


def cpu_threads(limit: float | None) -> int:
    """Threads that can run at the same time: more would only be throttled."""
    cores = len(os.sched_getaffinity(0))
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


def _places(root: Path, own: Path) -> Iterator[Path]:
    """Directories that may hold the quota, from our own cgroup up to the root.

    Inside a container the path in /proc may be the host's and not exist; the root is then our own.
    """
    yield root
    yield root / "cpu"
    yield root / "cpu,cpuacct"
    for controllers, path in _memberships(own):
        base = root if not controllers else root / controllers
        place = base / path.lstrip("/")
        while place != base and base in place.parents:
            yield place
            place = place.parent


def _memberships(own: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if ".." in path:  # outside our cgroup namespace
            continue
        if not controllers or "cpu" in controllers.split(","):
            yield controllers, path


def _quota(place: Path) -> float | None:
    try:
        quota, period = (place / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (place / "cpu.cfs_quota_us").read_text().strip()
            period = (place / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1") or int(period) <= 0:
        return None
    return int(quota) / int(period)
