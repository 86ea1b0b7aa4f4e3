"""The network, mount and pid namespaces of a cluster, held by their first process, `init.py`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from testbed.layout import Cluster, state_folder
from testbed.process import TestbedError

INIT = Path(__file__).resolve().with_name("init.py")
NEW_NAMESPACES = [
    "unshare",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
]
OWN_MOUNTS = ["unshare", "--mount", "--propagation", "slave", "--"]
APPEAR_TIMEOUT_SECONDS = 10.0
DIE_TIMEOUT_SECONDS = 15.0


def create(cluster: Cluster, bin_folders: Sequence[Path]) -> int:
    """Starts the first process, and returns its pid as seen from here."""
    cluster.units.mkdir()
    cluster.logs.mkdir(parents=True)
    # containerd and the kubelet find runc, mount and iptables by PATH. Nothing else of the caller's
    # environment is theirs: a proxy, above all, would be asked for the API server.
    path = ":".join([*map(str, bin_folders), "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    with (cluster.logs / "init.log").open("w") as log:
        subprocess.Popen(
            [*NEW_NAMESPACES, *init_command(cluster.name), cluster.logs],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": path, "HOME": "/root"},
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + APPEAR_TIMEOUT_SECONDS
    while (pid := init_pid(cluster.name)) is None:
        if time.monotonic() > deadline:
            raise TestbedError(f"no namespaces: {(cluster.logs / 'init.log').read_text()}")
        time.sleep(0.01)
    return pid


def init_command(name: str) -> list[str]:
    # The Python behind a virtual environment: the environment may be gone before the cluster is.
    python = str(Path(sys.executable).resolve())
    return [python, "-I", "-S", str(INIT), str(state_folder(name))]


def processes(name: str) -> list[int]:
    """`unshare` and the first process, found by what they run: a file with a pid could be missing
    or out of date.
    """
    mark = str(state_folder(name)).encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in argv and any(part.endswith(b"/testbed/init.py") for part in argv):
                found.append(int(entry.name))
    return sorted(found)


def init_pid(name: str) -> int | None:
    for pid in processes(name):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        inner = next((line.split() for line in lines if line.startswith("NSpid:")), [])
        if len(inner) > 2 and inner[-1] == "1":
            return pid
    return None


def destroy(name: str) -> None:
    """Ends the namespaces with all that runs and is mounted in them."""
    deadline = time.monotonic() + DIE_TIMEOUT_SECONDS
    while found := processes(name):
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise TestbedError(f"{name}: processes that do not die: {found}")
        time.sleep(0.02)


def start_unit(cluster: Cluster, name: str, argv: Sequence[str | Path]) -> None:
    """Has a program run in the namespaces for as long as they exist."""
    pid = init_pid(cluster.name)
    if pid is None:
        raise TestbedError(f"{cluster.name} is not running")
    # By a rename, as the first process also looks by itself and must not find half a file.
    partial = cluster.state / f"{name}.partial"
    partial.write_text(json.dumps([str(part) for part in argv]))
    partial.rename(cluster.units / name)
    os.kill(pid, signal.SIGHUP)


def inside(name: str, argv: Sequence[str | Path]) -> list[str | Path]:
    """The command line that runs a program in the cluster's network, with the cluster's names.

    Not in its pid namespace: the program's own children, and who may send it signals, stay as they
    are. The change of resolv.conf is in a mount namespace of the program's own.
    """
    pid = init_pid(name)
    if pid is None:
        raise TestbedError(f"{name} is not running")
    with_names = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    network = ["nsenter", "--target", str(pid), "--net", "--"]
    resolv_conf = state_folder(name) / "resolv.conf"
    return [*network, *OWN_MOUNTS, "sh", "-c", with_names, resolv_conf, *argv]
