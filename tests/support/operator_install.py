"""CRDs, namespaces and the chart's own rights, for the operator as a service account of a bare API
server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from kube import Kube
from kubeapi import Api
from operator_process import SYSTEM

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ocr-operator"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:ocr-operator"
RIGHTS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def install(kube: Kube, **values: Any) -> None:
    """The CRDs, and of the chart what is not the operator itself."""
    kube.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={ROOT / 'crds'}")
    for path in (ROOT / "crds").glob("*.yaml"):
        name = yaml.safe_load(path.read_text())["metadata"]["name"]
        kube.kubectl("wait", "--for=condition=Established", f"crd/{name}")
    ensure_namespace(kube, SYSTEM)
    found = subprocess.run(
        [sys.executable, "-m", "testbed", "tool", "helm"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=True,
    )
    helm = found.stdout.strip()
    rendered = subprocess.run(
        [helm, "template", "ocr-operator", CHART, "--namespace", SYSTEM, "--values", "-"],
        cwd=ROOT,
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    documents = [d for d in yaml.safe_load_all(rendered.stdout) if d and d["kind"] in RIGHTS]
    for document in documents:
        document["metadata"].setdefault("namespace", SYSTEM)
    text = yaml.safe_dump_all(documents)
    kube.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=text)


def ensure_namespace(kube: Kube, name: str) -> None:
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    kube.kubectl("apply", "--server-side", "--filename=-", stdin=text)


def kubeconfig_of_the_operator(kube: Kube, api: Api, folder: Path) -> Path:
    """With a token of the service account: the rights are the chart's, and so is the name in the
    audit log."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts/ocr-operator/token"
    answer = api.http.post(path, json=request).raise_for_status().json()
    config = yaml.safe_load(kube.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": answer["status"]["token"]}
    made = folder / "operator.conf"
    made.write_text(yaml.safe_dump(config))
    return made
