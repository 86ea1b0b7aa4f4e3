"""How many cores this container may use: by its cgroup, which `os.cpu_count()` does not know."""

from __future__ import annotations

import math
import os
from pathlib import Path

from ocr_inference.engine.cgroup import OWN_CGROUP, ROOT, places


def cpu_limit(root: Path = ROOT, own: Path = OWN_CGROUP) -> float | None:
    """Cores allowed by CPU quota (cgroup v2 or v1), None without one. The tightest level counts."""
    limits = [limit for place in places(root, own, "cpu") if (limit := _quota(place)) is not None]
    return min(limits, default=None)


def cpu_threads(limit: float | None) -> int:
    """Threads that can run at the same time: more would only be throttled."""
    cores = len(os.sched_getaffinity(0))
    return cores if limit is None else max(1, min(cores, math.ceil(limit)))


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
