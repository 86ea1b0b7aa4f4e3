"""Where the kernel keeps the limits of this container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def memory_limit(root: Path = ROOT, own: Path = OWN_CGROUP) -> int | None:
    """Bytes allowed (cgroup v2 or v1), None without a limit. The tightest level counts."""
    limits = [limit for place in places(root, own, "memory") if (limit := _bytes(place))]
    return min(limits, default=None)


def places(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Directories that may hold a limit of this controller, from our own cgroup up to the root.

    Inside a container the path in /proc may be the host's and not exist; the root is then our own.
    """
    yield root
    yield root / controller
    if controller == "cpu":
        yield root / "cpu,cpuacct"
    for controllers, path in _memberships(own, controller):
        base = root if not controllers else root / controllers
        place = base / path.lstrip("/")
        while place != base and base in place.parents:
            yield place
            place = place.parent


def _memberships(own: Path, controller: str) -> Iterator[tuple[str, str]]:
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if ".." in path:  # outside our cgroup namespace
            continue
        if not controllers or controller in controllers.split(","):
            yield controllers, path


def _bytes(place: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            return int((place / name).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None
