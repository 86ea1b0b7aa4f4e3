"""The cluster's one link to the world: a pair of interfaces to the host, over which only the host
may open connections.
"""

from __future__ import annotations

import json
from pathlib import Path

from testbed.layout import SERVICES, Cluster, interface_name
from testbed.process import TestbedError, run

# Loaded by name where they are modules; built in, or in a kernel without modules, there is nothing
# to do.
KERNEL_MODULES = ("overlay", "br_netfilter", "nf_conntrack", "veth", "bridge")


def load_kernel_modules() -> None:
    for module in KERNEL_MODULES:
        if not Path("/sys/module", module).exists():
            try:
                run(["modprobe", module])
            except TestbedError:
                continue


def create(cluster: Cluster, init_pid: int) -> None:
    host = ["ip", "link", "add", cluster.interface, "type", "veth"]
    run([*host, "peer", "name", "eth0", "netns", str(init_pid)])
    run(["ip", "address", "add", f"{cluster.host_ip}/30", "dev", cluster.interface])
    run(["ip", "link", "set", cluster.interface, "up"])

    node = ["nsenter", "--target", str(init_pid), "--net", "--"]
    run([*node, "ip", "-batch", "-"], stdin=node_setup(cluster))
    run([*node, "iptables-restore", "--noflush"], stdin=firewall(cluster))
    run(
        [*node, "sh", "-c", " && ".join(f"echo {value} >/proc/sys/{key}" for key, value in SYSCTLS)]
    )


def node_setup(cluster: Cluster) -> str:
    return f"""\
link set lo up
address add {cluster.node_ip}/30 dev eth0
link set eth0 up
# A Service's address is replaced after the route was looked up, so there has to be a route,
# wherever to.
route add {SERVICES} dev eth0
# What is not in the cluster is refused at once, and no packet for it leaves: neither somebody's
# private network nor the Internet can be reached. "unreachable", as a "blackhole" would let
# programs wait for their timeouts.
route add unreachable default
"""


def firewall(cluster: Cluster) -> str:
    """The host may connect to the node; nobody inside may connect to the host.

    For what the node itself sends, the address is compared and not the interface: for that of a
    Service it is the one from before the address was replaced.
    """
    return f"""\
*filter
-A OUTPUT -d {cluster.host_ip},{SERVICES} -m conntrack --ctstate NEW -j REJECT
-A FORWARD -o eth0 -m conntrack --ctstate NEW -j REJECT
COMMIT
"""


SYSCTLS = (
    ("net/ipv4/ip_forward", 1),
    ("net/bridge/bridge-nf-call-iptables", 1),
    ("net/ipv6/conf/all/disable_ipv6", 1),
    # Otherwise of many refused connections only one a second is told so, and the others wait.
    ("net/ipv4/icmp_ratelimit", 0),
)


def remove(index: int) -> None:
    """Usually gone with the namespace already, but the kernel takes its time for that."""
    if index in interfaces():
        try:
            run(["ip", "link", "delete", interface_name(index)])
        except TestbedError:
            if index in interfaces():
                raise


def interfaces() -> set[int]:
    """The indexes that an interface of this host has, whoever made it."""
    names = {link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]))}
    return {int(name[3:]) for name in names if name.startswith("ocr") and name[3:].isdigit()}
