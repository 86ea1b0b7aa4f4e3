"""The cgroup folder under which the kubelet puts the pods, on cgroup v1 and v2.

The v2 branch follows the kernel's and the kubelet's documentation, and has been tried on no machine
yet.
"""

from __future__ import annotations

import time
from pathlib import Path

from testbed.process import TestbedError

REMOVE_TIMEOUT_SECONDS = 15.0
# The kubelet refuses a cgroupRoot in which one of these is not enabled although the kernel has it.
V2_CONTROLLERS = ("cpu", "cpuset", "hugetlb", "io", "memory", "pids")


def mounts() -> list[tuple[Path, str]]:
    """Where cgroup file systems are mounted, and of which kind. Both kinds at once are possible."""
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [(Path(fields[1]), fields[2]) for fields in lines if fields[2] in ("cgroup", "cgroup2")]


def create(name: str, init_pid: int) -> None:
    found = mounts()
    if not found:
        raise TestbedError("no cgroup file system is mounted")
    if (Path("/sys/fs/cgroup"), "cgroup2") in found:
        create_v2(Path("/sys/fs/cgroup"), name, init_pid)
        return
    for root, kind in found:
        if kind == "cgroup":
            create_v1(root / name, root)


def create_v1(folder: Path, root: Path) -> None:
    folder.mkdir(exist_ok=True)
    # A new cpuset is empty, and no process may enter it before it is filled in.
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (folder / setting).exists():
            (folder / setting).write_text((root / setting).read_text())


def create_v2(root: Path, name: str, init_pid: int) -> None:
    folder = root / name
    folder.mkdir(exist_ok=True)
    available = (root / "cgroup.controllers").read_text().split()
    wanted = [controller for controller in V2_CONTROLLERS if controller in available]
    for parent in (root, folder):
        enable_v2(parent, wanted)
    # Processes may only be in leaves, and there they do not count as the caller's.
    leaf = folder / "node"
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(init_pid))


def enable_v2(folder: Path, controllers: list[str]) -> None:
    enabled = (folder / "cgroup.subtree_control").read_text().split()
    missing = [f"+{controller}" for controller in controllers if controller not in enabled]
    if not missing:
        return
    try:
        (folder / "cgroup.subtree_control").write_text(" ".join(missing))
    except OSError as e:
        raise TestbedError(
            f"cannot enable {' '.join(missing)} in {folder}: {e.strerror}. In a container, its "
            "processes have to be moved from the root of its cgroup to a child first."
        ) from e


def remove(name: str) -> None:
    """The folders can go once the kernel has buried the processes, which takes a moment after they
    were killed.
    """
    deadline = time.monotonic() + REMOVE_TIMEOUT_SECONDS
    while left := [root / name for root, _ in mounts() if (root / name).is_dir()]:
        for folder in left:
            remove_tree(folder)
        if any(folder.is_dir() for folder in left):
            if time.monotonic() > deadline:
                raise TestbedError(f"cgroup folders that do not go: {', '.join(map(str, left))}")
            time.sleep(0.05)


def remove_tree(folder: Path) -> None:
    """Deepest first; what is still busy stays for the next try."""
    try:
        for child in folder.iterdir():
            if child.is_dir():
                remove_tree(child)
        folder.rmdir()
    except OSError:
        pass
