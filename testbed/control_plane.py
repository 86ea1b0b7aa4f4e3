"""etcd, the API server, and the controllers and scheduler that make it a cluster: their files and
command lines.
"""

from __future__ import annotations

from pathlib import Path

from testbed.layout import DNS_SERVICE, NODE, SERVICES, Cluster

Argv = list[str | Path]

ETCD = "http://127.0.0.1:2379"

# The only way to know who wrote what: the API server's metrics have no user. Block style, as the
# API server does not read this file in any other.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
"""


def write_files(cluster: Cluster) -> None:
    (cluster.state / "audit.yaml").write_text(AUDIT_POLICY)
    cluster.resolv_conf.write_text(f"nameserver {DNS_SERVICE}\n")


def etcd(cluster: Cluster, binary: Path) -> Argv:
    return [
        binary,
        f"--data-dir={cluster.data / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
        # Nothing has to survive a power cut.
        "--unsafe-no-fsync",
    ]


def api_server(cluster: Cluster, binary: Path, *, with_node: bool) -> Argv:
    pki = cluster.pki
    argv: Argv = [
        binary,
        f"--etcd-servers={ETCD}",
        f"--advertise-address={cluster.node_ip}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        # Logs, exec and port-forward: the node's name is in no DNS.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'to-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'to-kubelet.key'}",
        # For API servers behind this one, as metrics-server is.
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={pki / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        f"--audit-policy-file={cluster.state / 'audit.yaml'}",
        f"--audit-log-path={cluster.audit_log}",
    ]
    if not with_node:
        # Without the controllers no namespace gets its service account, and every pod would be
        # refused.
        argv.append("--disable-admission-plugins=ServiceAccount")
    return argv


def controller_manager(cluster: Cluster, binary: Path) -> Argv:
    return [
        binary,
        f"--kubeconfig={cluster.state / 'controller-manager.conf'}",
        f"--service-account-private-key-file={cluster.pki / 'sa.key'}",
        f"--root-ca-file={cluster.pki / 'ca.crt'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        # With the default of 20 a second, a thousand Deployments wait 50 s for their first pod.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--horizontal-pod-autoscaler-sync-period=5s",
    ]


def scheduler(cluster: Cluster, binary: Path) -> Argv:
    return [
        binary,
        f"--kubeconfig={cluster.state / 'scheduler.conf'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
    ]


def proxy(cluster: Cluster, binary: Path) -> Argv:
    return [
        binary,
        f"--kubeconfig={cluster.state / 'proxy.conf'}",
        f"--hostname-override={NODE}",
        "--proxy-mode=iptables",
        # The limit is the host's, and not for a namespace to set.
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]
