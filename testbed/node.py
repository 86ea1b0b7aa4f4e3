"""The node: containerd, the kubelet, kube-proxy and CoreDNS, with the controllers that need a node
to make sense.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from testbed import containerd, control_plane
from testbed.kubectl import Kubectl
from testbed.layout import DNS_SERVICE, NODE, PODS, Cluster
from testbed.namespaces import start_unit
from testbed.progress import Progress

CLUSTER_DOMAIN = "cluster.local"


def prepare(cluster: Cluster) -> None:
    """What can be done while the API server is starting."""
    write_json(cluster.state / "kubelet.json", kubelet_configuration(cluster))
    (cluster.state / "Corefile").write_text(corefile(cluster))
    containerd.start(cluster)


def start(
    cluster: Cluster,
    binaries: dict[str, Path],
    kubectl: Kubectl,
    deadline: float,
    progress: Progress,
) -> None:
    kubelet: list[str | Path] = [
        binaries["kubelet"],
        f"--kubeconfig={cluster.state / 'kubelet.conf'}",
        f"--config={cluster.state / 'kubelet.json'}",
        f"--hostname-override={NODE}",
        f"--node-ip={cluster.node_ip}",
    ]
    start_unit(cluster, "kubelet", kubelet)
    for name, argv in (
        ("kube-controller-manager", control_plane.controller_manager),
        ("kube-scheduler", control_plane.scheduler),
        ("kube-proxy", control_plane.proxy),
    ):
        start_unit(cluster, name, argv(cluster, binaries[name]))
    start_unit(cluster, "coredns", [binaries["coredns"], f"-conf={cluster.state / 'Corefile'}"])
    kubectl.apply(dns_objects(cluster))
    progress.say("the node is starting")

    def wait(*condition: str) -> None:
        left = max(1, int(deadline - time.monotonic()))
        kubectl("wait", f"--timeout={left}s", *condition, timeout=left + 5)

    wait("--for=create", f"node/{NODE}")
    wait("--for=condition=Ready", f"node/{NODE}")
    progress.say("the node is ready")
    # The first pod of whoever is waiting would be refused without it.
    wait("--for=create", "serviceaccount/default")


def write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n")


def kubelet_configuration(cluster: Cluster) -> dict[str, Any]:
    pki = cluster.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "containerRuntimeEndpoint": f"unix://{cluster.containerd_socket}",
        "address": cluster.node_ip,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [DNS_SERVICE],
        # Not the host's: its servers cannot be reached, and its search domains are nobody's
        # business.
        "resolvConf": str(cluster.resolv_conf),
        "volumePluginDir": str(cluster.data / "volume-plugins"),
        "podCIDR": PODS,
        # The disk and the memory are shared with the developer's other work; only real need evicts.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
        },
        # Images come from tar files and could not be pulled again.
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": False,
    }


def corefile(cluster: Cluster) -> str:
    # Zones of their own, as the plug-in `template` would otherwise answer before `kubernetes` is
    # asked. What is not in the cluster does not exist: with no answer at all programs would try
    # again and again.
    return f"""\
{CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
  bind {cluster.node_ip}
  errors
  kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {cluster.state / "testbed.conf"}
    pods verified
    ttl 5
  }}
}}
. {{
  bind {cluster.node_ip}
  errors
  template IN ANY {{
    rcode NXDOMAIN
  }}
}}
"""


def dns_objects(cluster: Cluster) -> list[dict[str, Any]]:
    """The usual Service, leading to the node instead of to pods."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    metadata = {"name": "kube-dns", "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata | {"labels": {"k8s-app": "kube-dns"}},
            "spec": {"clusterIP": DNS_SERVICE, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": "kube-dns"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [cluster.node_ip]}],
            "ports": ports,
        },
    ]
