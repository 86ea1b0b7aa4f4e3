"""metrics-server, run on the node and registered with the API server as if it were pods."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from testbed.kubectl import Kubectl
from testbed.layout import Cluster
from testbed.namespaces import start_unit
from testbed.process import TestbedError
from testbed.progress import Progress

UNIT = "metrics-server"
PORT = 4443
# The API server asks it once the registration is known; then the first scrape has to be over.
START_TIMEOUT_SECONDS = 60


def start(cluster: Cluster, binaries: dict[str, Path], progress: Progress) -> None:
    kubectl = Kubectl(cluster, binaries["kubectl"])
    if not (cluster.units / UNIT).exists():
        start_unit(cluster, UNIT, command(cluster, binaries["metrics-server"]))
        kubectl.apply(objects(cluster))
    progress.say("metrics-server is starting")
    available = ["wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io"]
    kubectl(*available, f"--timeout={START_TIMEOUT_SECONDS}s", timeout=START_TIMEOUT_SECONDS + 5)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            kubectl("top", "nodes")
            break
        except TestbedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    progress.say("metrics-server has metrics of the node; those of pods take half a minute")


def command(cluster: Cluster, binary: Path) -> list[str | Path]:
    kubeconfig = cluster.state / "testbed.conf"
    return [
        binary,
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={cluster.node_ip}",
        f"--secure-port={PORT}",
        f"--cert-dir={cluster.data / 'metrics-server'}",
        "--kubelet-insecure-tls",
        "--kubelet-preferred-address-types=InternalIP",
        # The shortest it accepts is longer than its timeout for a kubelet, which is 10 s.
        "--metric-resolution=15s",
    ]


def objects(cluster: Cluster) -> list[dict[str, Any]]:
    metadata = {"name": UNIT, "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": PORT}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": UNIT}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [cluster.node_ip]}],
            "ports": [{"name": "https", "port": PORT, "protocol": "TCP"}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "service": {"name": UNIT, "namespace": "kube-system"},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
