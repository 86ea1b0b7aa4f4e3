"""What an e2e test acts on: the cluster with the operator installed, and a namespace of its own."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from kubeapi import Api, Json, condition, wait_for
from netns import NetworkNamespace

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "ocr-system"
RELEASE = "ocr-operator"
OPERATOR_USER = f"system:serviceaccount:{SYSTEM}:ocr-operator"
PAGES = ROOT / "examples" / "pages"

SCRIPTED = {
    "versions": ["1"],
    "engine": "scripted",
    "image": "cpu",
    "requests": {"cpu": "20m", "memory": "64Mi"},
    "prior": {"medianSeconds": 20, "spread": 0.3, "source": "written by the test"},
}
"""The catalogue's entry for the model whose start and answers a test writes."""


@dataclass(frozen=True)
class World:
    """The cluster; `kubectl` and `helm` are paths, `network` reaches pods and Services."""

    api: Api
    kubeconfig: Path
    kubectl_path: str
    helm_path: str
    network: NetworkNamespace
    audit_log: Path
    images: dict[str, str]

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        command = [self.kubectl_path, f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=180, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout if check else done.stdout + done.stderr

    def helm(self, *arguments: str, stdin: str = "") -> str:
        command = [self.helm_path, "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise AssertionError(f"helm {' '.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def values(self) -> Json:
        """The chart's values for the images under test."""

        def image(name: str) -> Json:
            repository, _, tag = self.images[name].rpartition(":")
            return {"repository": repository, "tag": tag}

        return {
            "image": image("operator"),
            "images": {"cpu": image("cpu"), "gpu": image("gpu")},
            "catalogue": {"extra": {"scripted": SCRIPTED}},
        }

    def audit(self, user: str, since: int = 0) -> list[Json]:
        """Write requests of `user` from the audit log, after the first `since` bytes of it."""
        with self.audit_log.open("rb") as log:
            log.seek(since)
            lines = log.read().splitlines()
        entries = [json.loads(line) for line in lines if line.endswith(b"}")]
        return [entry for entry in entries if entry["user"]["username"] == user]

    def audit_mark(self) -> int:
        return self.audit_log.stat().st_size

    def operator_pod(self) -> Json | None:
        pods = self.api.list("pods", SYSTEM, "app.kubernetes.io/name=ocr-operator")
        living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        ready = [pod for pod in living if condition(pod, "Ready")["status"] == "True"]
        return ready[0] if ready and len(living) == 1 else None


@dataclass
class Room:
    """A namespace of one test, under the `restricted` pod security standard."""

    world: World
    namespace: str
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def api(self) -> Api:
        return self.world.api

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        return self.world.kubectl(
            "--namespace", self.namespace, *arguments, stdin=stdin, check=check
        )

    def apply(self, name: str, spec: Json, kind: str = "OcrService", **metadata: Any) -> None:
        """`kubectl apply` an object as a person would."""
        version = "ocr-operator.dev/v1alpha1" if kind.startswith("Ocr") else "v1"
        body: Json = {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
        }
        body |= {"spec": spec} if kind.startswith("Ocr") else spec
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body))

    def scripted(self, name: str, script: Json | None = None, **spec: Any) -> None:
        """Apply a service of the scripted model; `env` adds environment entries."""
        env = [{"name": "OCR_SCRIPT", "value": json.dumps(script or {})}]
        template = {"env": [*env, *spec.pop("env", [])], **spec.pop("podTemplate", {})}
        auth = spec.pop("auth", {"mode": "None"})
        self.apply(
            name, {"model": {"name": "scripted"}, "auth": auth, "podTemplate": template, **spec}
        )

    def service(self, name: str) -> Json:
        return self.api.get("ocrservices", self.namespace, name)

    def deployment(self, name: str) -> Json:
        return self.api.get("deployments", self.namespace, name)

    def pods(self, name: str) -> list[Json]:
        return self.api.list("pods", self.namespace, f"app.kubernetes.io/instance={name}")

    def wait_condition(
        self, name: str, kind: str, status: str, reason: str = "", timeout: float = 90
    ) -> Json:
        """Wait until a condition has the status (and reason); returns the condition."""

        def look() -> Json | None:
            entry = condition(self.service(name), kind)
            right = entry["status"] == status and (not reason or entry["reason"] == reason)
            return entry if right else None

        try:
            return wait_for(f"{name}: {kind}={status} {reason}", look, timeout)
        except AssertionError as late:
            shown = json.dumps(self.service(name).get("status", {}), indent=1)
            raise AssertionError(f"{late}\nstatus: {shown}\n{self.story(name)}") from None

    def wait_ready(self, name: str, timeout: float = 120, replicas: int = 1) -> Json:
        """Wait until the service is Ready for its newest generation, every replica up to date."""

        def look() -> bool:
            live = self.service(name)
            status = live.get("status", {})
            deployment = self.api.find("deployments", self.namespace, name) or {}
            counts = deployment.get("status", {})
            return (
                status.get("observedGeneration") == live["metadata"]["generation"]
                and condition(live, "Ready")["status"] == "True"
                and counts.get("observedGeneration") == deployment["metadata"]["generation"]
                and counts.get("updatedReplicas") == replicas
                and counts.get("readyReplicas") == replicas
                and counts.get("replicas") == replicas
            )

        try:
            wait_for(f"{name} Ready with {replicas}", look, timeout)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.story(name)}") from None
        # A ready pod is in the endpoints before kube-proxy has written its rules.
        wait_for(f"the address of {name}", lambda: self._connects(name), 15, every=0.1)
        return self.service(name)

    def _connects(self, name: str) -> bool:
        try:
            self.get(f"{self.address(name)}/livez")
        except httpx.TransportError:
            return False
        return True

    def story(self, name: str) -> str:
        """What a person would look at when a service does not come up."""
        selector = f"--selector=app.kubernetes.io/instance={name}"
        return "\n".join(
            [
                self.kubectl("describe", "ocrservice", name, check=False)[-4000:],
                self.kubectl("get", "pods", selector, "-o", "wide", check=False),
                self.kubectl("logs", selector, "--tail=20", check=False)[-3000:],
                self.world.kubectl(
                    "--namespace", SYSTEM, "logs", "deployment/ocr-operator", "--tail=15",
                    check=False,
                )[-3000:],
            ]
        )  # fmt: skip

    def address(self, name: str) -> str:
        """The Service's own address, `http://<cluster IP>:<port>`."""
        spec = self.api.get("services", self.namespace, name)["spec"]
        return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"

    def read(self, name: str, page: Path, key: str = "", **fields: str) -> httpx.Response:
        """`POST /ocr` through the Service."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url, content = f"{self.address(name)}/ocr", page.read_bytes()

        def post() -> httpx.Response:
            return httpx.post(
                url, headers=headers, files={"file": (page.name, content)}, data=fields, timeout=120
            )

        return self.world.network.run(post)

    def get(self, url: str, timeout: float = 5) -> httpx.Response:
        return self.world.network.run(lambda: httpx.get(url, timeout=timeout))

    def pod_url(self, pod: Json, path: str) -> str:
        return f"http://{pod['status']['podIP']}:8081{path}"

    def secret(self, name: str, **entries: str) -> None:
        self.apply(name, {"stringData": entries}, kind="Secret")


def namespace_name(test: str) -> str:
    """A namespace named after the test that uses it."""
    return re.sub(r"[^a-z0-9]+", "-", test.lower()).strip("-")[:50].strip("-")
