"""Bringing clusters up and taking them down.

What is half done, by a crash or by a change of versions, is not repaired but removed and made anew:
it takes seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from testbed import cgroups, control_plane, debian, mounts, namespaces, network, node, pki, tools
from testbed.kubectl import Kubectl, wait_until_ready
from testbed.layout import (
    DATA_ROOT,
    INDEXES,
    STATE_ROOT,
    Cluster,
    cgroup_name,
    data_folder,
    state_folder,
)
from testbed.locks import locked
from testbed.process import TestbedError
from testbed.progress import Progress

CONTROL_PLANE = "control-plane"
WHOLE = "whole"
PROGRAMS = {
    CONTROL_PLANE: ["etcd", "kube-apiserver", "kubectl"],
    WHOLE: [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
        "kubelet",
        "kubectl",
        "coredns",
    ],
}
# Five times what a busy machine with two cores takes.
START_TIMEOUT_SECONDS = 120.0


def up(name: str, kind: str, progress: Progress) -> Path:
    """A cluster of that name is there afterwards; the path of its kubeconfig."""
    need_root()
    debian.ensure("control-plane", progress)
    if kind == WHOLE:
        debian.ensure("node", progress)
    binaries = tools.ensure(PROGRAMS[kind], progress)
    with locked(
        state_folder(name), mode=0o700, waiting=lambda: progress.say(f"{name} is busy, waiting")
    ):
        if (running := healthy(name, kind, binaries)) is not None:
            progress.say(f"{name} is running already")
            return running.kubeconfig
        remove(name)
        cluster = Cluster(name, claim_index(name))
        try:
            start(cluster, kind, binaries, progress)
        except TestbedError as e:
            # The logs stay for whoever wants to know more; the next `up` or `down` removes them.
            namespaces.destroy(name)
            raise TestbedError(f"{e}\n{ends_of_logs(cluster)}") from e
        except KeyboardInterrupt:
            remove(name)
            raise
        progress.say(f"{name} is up")
        return cluster.kubeconfig


def start(cluster: Cluster, kind: str, binaries: dict[str, Path], progress: Progress) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    network.load_kernel_modules()
    bin_folders = list(dict.fromkeys(path.parent for path in binaries.values()))
    cluster.data.mkdir(mode=0o700, parents=True)
    pid = namespaces.create(cluster, bin_folders)
    if kind == WHOLE:
        cgroups.create(cluster.cgroup, pid)
    mounts.create(cluster, pid, bin_folders)
    network.create(cluster, pid)
    namespaces.start_unit(cluster, "etcd", control_plane.etcd(cluster, binaries["etcd"]))
    pki.create(cluster)
    control_plane.write_files(cluster)
    api_server = control_plane.api_server(
        cluster, binaries["kube-apiserver"], with_node=kind == WHOLE
    )
    namespaces.start_unit(cluster, "kube-apiserver", api_server)
    progress.say("etcd and kube-apiserver are starting")
    if kind == WHOLE:
        node.prepare(cluster)
    kubectl = Kubectl(cluster, binaries["kubectl"])
    wait_until_ready(kubectl, deadline)
    progress.say("the API server is ready")
    if kind == WHOLE:
        node.start(cluster, binaries, kubectl, deadline, progress)
    write_environment(cluster, kind, binaries, pid)


def write_environment(cluster: Cluster, kind: str, binaries: dict[str, Path], pid: int) -> None:
    """Appears when all is up, so it is also the mark that `up` went through to its end."""
    document = {
        "name": cluster.name,
        "kind": kind,
        "index": cluster.index,
        "kubeconfig": str(cluster.kubeconfig),
        "server": cluster.server,
        "node_ip": cluster.node_ip,
        "host_ip": cluster.host_ip,
        "init_pid": pid,
        "audit_log": str(cluster.audit_log),
        "logs": str(cluster.logs),
        "containerd_socket": str(cluster.containerd_socket) if kind == WHOLE else None,
        "cache_bin_dir": str(binaries["kube-apiserver"].parent),
        "binaries": {binary: str(path) for binary, path in binaries.items()},
    }
    partial = cluster.state / "env.json.partial"
    partial.write_text(json.dumps(document, indent=2) + "\n")
    partial.rename(cluster.state / "env.json")


def environment(name: str) -> dict[str, Any]:
    """What env.json says of a cluster that is up."""
    try:
        document: dict[str, Any] = json.loads((state_folder(name) / "env.json").read_text())
    except FileNotFoundError:
        raise TestbedError(f"{name} is not up") from None
    if namespaces.init_pid(name) is None:
        raise TestbedError(f"{name} has died; bring it up again")
    return document


def existing(name: str) -> Cluster:
    return Cluster(name, environment(name)["index"])


def healthy(name: str, kind: str, binaries: dict[str, Path]) -> Cluster | None:
    try:
        known = environment(name)
    except TestbedError:
        return None
    if known["kind"] != kind:
        raise TestbedError(
            f"{name} is a {known['kind']} cluster; take another name, or down {name} first"
        )
    cluster = Cluster(name, known["index"])
    same = known["binaries"] == {binary: str(path) for binary, path in binaries.items()}
    return cluster if same and Kubectl(cluster, binaries["kubectl"]).ready() else None


def down(name: str, progress: Progress) -> None:
    need_root()
    with locked(
        state_folder(name), mode=0o700, waiting=lambda: progress.say(f"{name} is busy, waiting")
    ):
        remove(name)
        state_folder(name).rmdir()
    for root in (STATE_ROOT, DATA_ROOT):
        with contextlib.suppress(OSError):
            root.rmdir()
    progress.say(f"{name} is gone")


def remove(name: str) -> None:
    """Everything but the state folder itself, whose lock the caller holds. Any part of it may be
    missing.
    """
    namespaces.destroy(name)
    if (index := claimed(name)) is not None:
        network.remove(index)
    cgroups.remove(cgroup_name(name))
    shutil.rmtree(data_folder(name), ignore_errors=True)
    if data_folder(name).exists():
        raise TestbedError(f"cannot remove {data_folder(name)}")
    # The claim goes last: as long as it is there, nobody else takes the addresses.
    for entry in sorted(state_folder(name).iterdir(), key=lambda entry: entry.name == "index"):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def names() -> list[str]:
    """All clusters there are, or of which something is left."""
    folders = [
        folder for root in (STATE_ROOT, DATA_ROOT) if root.is_dir() for folder in root.iterdir()
    ]
    return sorted({folder.name for folder in folders})


def claim_index(name: str) -> int:
    """Takes free addresses. An interface of that number without a claim is a left-over that is not
    ours to remove.
    """
    with locked(STATE_ROOT, mode=0o700):
        taken = {claimed(other) for other in names()} | network.interfaces()
        for index in INDEXES:
            if index not in taken:
                (state_folder(name) / "index").write_text(str(index))
                return index
    raise TestbedError(f"all {len(INDEXES)} address ranges are in use: see `testbed down --all`")


def claimed(name: str) -> int | None:
    try:
        return int((state_folder(name) / "index").read_text())
    except (FileNotFoundError, ValueError):
        return None


def ends_of_logs(cluster: Cluster) -> str:
    """Of every component the last lines that look like the reason."""
    parts = []
    for log in sorted(set(cluster.logs.glob("*.log")) - {cluster.audit_log}):
        lines = log.read_text(errors="replace").splitlines()
        if telling := [line for line in lines if not line.startswith("I")][-5:]:
            parts.append("\n".join([f"--- {log}", *telling]))
    return "\n".join(parts)


def need_root() -> None:
    if os.geteuid() != 0:
        raise TestbedError("namespaces need root: run it with sudo")
