"""What of the host's file system the cluster's programs do not get to see, or to change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testbed.layout import Cluster
from testbed.process import run

# containerd, the kubelet and the CNI plugins write here, partly at paths that no option changes
# (shims' sockets, names of network namespaces, links to logs, the lock of iptables). With folders
# of their own clusters cannot meet in them, and nothing is left on the host.
PRIVATE = ("/run", "/var/lib", "/var/log")

# The kubelet sets these for the whole machine, which belongs to somebody: an oops would reboot it.
# It is shown files that already say what it wants.
KERNEL_SETTINGS = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}


def create(cluster: Cluster, init_pid: int, bin_folders: Sequence[Path]) -> None:
    kept = [cluster.state, cluster.data, *bin_folders]
    commands = []
    for folder in PRIVATE:
        private = cluster.data / "node" / folder[1:]
        private.mkdir(parents=True)
        for path in kept:
            if path.is_relative_to(folder):
                place = private / path.relative_to(folder)
                place.mkdir(parents=True)
                commands.append(f"mount --bind '{path}' '{place}'")
        commands.append(f"mount --rbind '{private}' {folder}")
    for key, value in KERNEL_SETTINGS.items():
        file = cluster.data / "sysctl" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        commands.append(f"mount --bind '{file}' /proc/sys/{key}")
    # With "--root", as this may be a chroot, and a mount namespace alone would lead out of it.
    shell = ["nsenter", "--target", str(init_pid), "--mount", "--root", "--", "sh", "-eu"]
    run(shell, stdin="\n".join(commands))
