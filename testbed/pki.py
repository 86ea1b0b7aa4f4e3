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
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]

    def certificate(
        name: str, subject: str, *extensions: str, signed_by: tuple[str | Path, ...]
    ) -> None:
        key, crt = pki / f"{name}.key", pki / f"{name}.crt"
        added = [part for extension in extensions for part in ("-addext", extension)]
        request = ["openssl", "req", "-x509", "-days", DAYS, "-subj", subject, *new_key]
        run([*request, "-keyout", key, "-out", crt, *signed_by, *added])

    # Python 3.13 refuses an authority that does not say what its key is for.
    certificate("ca", "/CN=ocr-testbed", "keyUsage=critical,keyCertSign", signed_by=())
    authority = ("-CA", pki / "ca.crt", "-CAkey", pki / "ca.key")

    def sign(identity: Identity) -> None:
        extensions = ["basicConstraints=critical,CA:FALSE"]
        if identity.names:
            extensions.append(f"subjectAltName={identity.names}")
        certificate(identity.file, identity.subject, *extensions, signed_by=authority)
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
