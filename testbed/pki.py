"""Certificates and kubeconfigs of one cluster, thrown away with it."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from testbed.layout import API_SERVICE, NODE, Cluster
from testbed.process import run

DAYS = "30"


@dataclass(frozen=True)
class Identity:
    """One certificate. Kubernetes takes CN for the user and O for the group."""

    file: str
    subject: str
    names: str = ""
    kubeconfig: bool = False


def identities(cluster: Cluster) -> list[Identity]:
    api_names = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
    return [
        Identity(
            "apiserver",
            "/CN=kube-apiserver",
            f"{api_names},IP:127.0.0.1,IP:{cluster.node_ip},IP:{API_SERVICE}",
        ),
        Identity("to-kubelet", "/O=system:masters/CN=apiserver-to-kubelet"),
        Identity("front-proxy", "/CN=front-proxy"),
        Identity(
            "kubelet",
            f"/O=system:nodes/CN=system:node:{NODE}",
            f"DNS:{NODE},IP:{cluster.node_ip}",
            kubeconfig=True,
        ),
        Identity("admin", "/O=system:masters/CN=admin", kubeconfig=True),
        Identity("controller-manager", "/CN=system:kube-controller-manager", kubeconfig=True),
        Identity("scheduler", "/CN=system:kube-scheduler", kubeconfig=True),
        Identity("proxy", "/CN=system:kube-proxy", kubeconfig=True),
        # An identity of its own, so that what it does can be told from what a person does.
        Identity("testbed", "/O=system:masters/CN=testbed", kubeconfig=True),
    ]


def create(cluster: Cluster) -> None:
    pki = cluster.pki
    pki.mkdir(mode=0o700)
    # Python 3.13 refuses an authority without the keyUsage extension.
    elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
    run(
        ["openssl", "req", "-x509", *elliptic, "-keyout", pki / "ca.key", "-out", pki / "ca.crt"]
        + ["-subj", "/CN=ocr-testbed", "-days", DAYS, "-addext", "keyUsage=critical,keyCertSign"]
    )

    def sign(identity: Identity) -> None:
        names = ["-addext", f"subjectAltName={identity.names}"] if identity.names else []
        run(
            ["openssl", "req", "-x509", *elliptic]
            + ["-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-days", DAYS]
            + ["-keyout", pki / f"{identity.file}.key", "-out", pki / f"{identity.file}.crt"]
            + ["-subj", identity.subject, "-addext", "basicConstraints=critical,CA:FALSE", *names]
        )
        if identity.kubeconfig:
            write_kubeconfig(cluster, identity)

    with ThreadPoolExecutor() as pool:
        list(pool.map(sign, identities(cluster)))
    # Service accounts' tokens are signed with this pair.
    run(["openssl", "genrsa", "-out", pki / "sa.key", "2048"])
    run(["openssl", "rsa", "-in", pki / "sa.key", "-pubout", "-out", pki / "sa.pub"])


def write_kubeconfig(cluster: Cluster, identity: Identity) -> None:
    pki = cluster.pki
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "testbed",
                "cluster": {
                    "server": cluster.server,
                    "certificate-authority-data": encoded(pki / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": identity.file,
                "user": {
                    "client-certificate-data": encoded(pki / f"{identity.file}.crt"),
                    "client-key-data": encoded(pki / f"{identity.file}.key"),
                },
            }
        ],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": identity.file}}],
        "current-context": "testbed",
    }
    path = cluster.state / f"{identity.file}.conf"
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2) + "\n")


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
