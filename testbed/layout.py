"""Where a cluster's files and addresses are. Nothing here does anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from testbed.process import TestbedError

# Small files and sockets (a socket's path may have 107 characters). On Debian /run is in memory and
# not executable ...
STATE_ROOT = Path("/run/ocr-testbed")
# ... so images, containers, etcd's data and the logs are on the disk.
DATA_ROOT = Path("/var/lib/ocr-testbed")

# 198.18.0.0/15 is reserved for benchmarks (RFC 2544), so it is nobody's real network. Pods and
# Services have the same addresses in all clusters, as nobody outside of a cluster's network
# namespace sees them.
ALL_ADDRESSES = "198.18.0.0/15"
PODS = "198.18.0.0/24"
SERVICES = "198.19.0.0/20"
API_SERVICE = "198.19.0.1"
DNS_SERVICE = "198.19.0.10"
# Left free for the pods of simulated nodes.
SIMULATED_PODS = "198.18.64.0/18"

NODE = "node-1"
API_PORT = 6443
# A /30 per cluster between host and node, from 198.18.255.0/24.
INDEXES = range(64)


@dataclass(frozen=True)
class Cluster:
    name: str
    index: int

    @property
    def state(self) -> Path:
        return state_folder(self.name)

    @property
    def data(self) -> Path:
        return data_folder(self.name)

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def units(self) -> Path:
        return self.state / "units"

    @property
    def logs(self) -> Path:
        return self.data / "log"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        return self.state / "admin.conf"

    @property
    def resolv_conf(self) -> Path:
        return self.state / "resolv.conf"

    @property
    def containerd_socket(self) -> Path:
        return self.state / "containerd.sock"

    @property
    def cgroup(self) -> str:
        return cgroup_name(self.name)

    @property
    def interface(self) -> str:
        return interface_name(self.index)

    @property
    def host_ip(self) -> str:
        return f"198.18.255.{4 * self.index + 1}"

    @property
    def node_ip(self) -> str:
        return f"198.18.255.{4 * self.index + 2}"

    @property
    def server(self) -> str:
        return f"https://{self.node_ip}:{API_PORT}"


def checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", name):
        raise TestbedError(f"{name!r}: a name has 1 to 30 letters a-z, digits and dashes")
    return name


def state_folder(name: str) -> Path:
    return STATE_ROOT / checked_name(name)


def data_folder(name: str) -> Path:
    return DATA_ROOT / checked_name(name)


def cgroup_name(name: str) -> str:
    return f"ocr-testbed-{checked_name(name)}"


def interface_name(index: int) -> str:
    return f"ocr{index}"
