"""`make demo`: from nothing to three pages read through an OcrService.

On the embedded cluster or on a given one. Every step is a command that a person could type.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from rapidfuzz.distance import Levenshtein

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "ocr-demo"
SYSTEM_NAMESPACE = "ocr-system"
CLUSTER = "demo"


@dataclass(frozen=True)
class PageToRead:
    """One page of `examples/pages/` and the service that reads it."""

    service: str
    file: str
    label: str


PAGES = (
    PageToRead("invoices", "letter-en.png", "a printed English page"),
    PageToRead("archive", "article-ru.png", "a Russian page"),
    PageToRead("invoices", "report-2p.pdf", "a two-page PDF"),
)


class DemoError(Exception):
    """A step failed; the message says which and what it printed last."""


class Demo:
    """The state of one run: where kubectl and helm are, which cluster, how long it has taken."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.began = time.monotonic()
        self.kubeconfig = Path(arguments.cluster) if arguments.cluster else Path()
        # Nobody's cluster is touched by accident: what names one outside reaches no command.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name != "KUBECONFIG" and not name.startswith("HELM_")
        }
        self.tools: dict[str, str] = {}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def run(self, *command: str, stdin: str = "", show: bool = False) -> str:
        """Run a command and return its output. Raises `DemoError` with its last lines."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(((done.stderr or "") + done.stdout).strip().splitlines()[-15:])
            raise DemoError(f"{shlex.join(command)}\nended with {done.returncode}:\n{tail}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.run(
            self.tools["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin
        )

    def testbed(self, *arguments: str, show: bool = True) -> str:
        # The test bed runs on the system's Python, without the development environment.
        return self.run("python3", "-m", "testbed", *arguments, show=show)


def use_given_cluster(demo: Demo) -> None:
    """Show which cluster would be used and go on only with YES=1. Raises `DemoError` without."""
    if not demo.arguments.registry:
        raise DemoError("CLUSTER= needs IMAGE_REGISTRY=, a registry that cluster can pull from")
    view = yaml.safe_load(demo.kubectl("config", "view", "--minify", "-o", "yaml"))
    server = view["clusters"][0]["cluster"]["server"]
    print(f"server:  {server}\ncontext: {view['current-context']}")
    print(f"This installs the CRDs, the operator (namespace {SYSTEM_NAMESPACE}) and two services.")
    if not demo.arguments.yes:
        raise DemoError("nothing was changed; add YES=1 to go on")


def build_images(demo: Demo) -> dict[str, str]:
    """Build the operator's and the CPU server's image; returns name to reference."""
    command = ["python3", "-m", "testbed.images", "build", "operator", "cpu"]
    if demo.arguments.registry:
        command += ["--push", demo.arguments.registry]
    references = {}
    tars = []
    for line in demo.run(*command, show=True).splitlines():
        name, _, rest = line.partition("=")
        reference, _, tar = rest.partition(" ")
        references[name] = reference
        tars.append(tar)
    if not demo.arguments.cluster:
        demo.say("loading the images into the cluster")
        demo.testbed("load", "--name", CLUSTER, *tars)
    return references


def install_operator(demo: Demo, images: dict[str, str]) -> None:
    """`helm upgrade --install` of the chart with the images just built."""
    values = {
        "image": split_reference(images["operator"]),
        "images": {"cpu": split_reference(images["cpu"])},
    }
    demo.run(
        demo.tools["helm"], "upgrade", "--install", "ocr-operator", "charts/ocr-operator",
        "--kubeconfig", str(demo.kubeconfig), "--namespace", SYSTEM_NAMESPACE, "--create-namespace",
        "--values", "-", "--wait", "--timeout", "3m",
        stdin=yaml.safe_dump(values),
    )  # fmt: skip


def split_reference(reference: str) -> dict[str, str]:
    repository, _, tag = reference.rpartition(":")
    return {"repository": repository, "tag": tag}


def apply_services(demo: Demo) -> str:
    """Create the namespace, the key Secret and the two services; returns the key."""
    key = secrets.token_urlsafe(24)
    objects = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "invoices-keys", "namespace": NAMESPACE},
            "stringData": {"demo": key},
        },
        ocr_service("invoices", {"model": {"name": "pp-ocr"}}),
        ocr_service("archive", {"model": {"name": "tesseract", "languages": ["ru"]}}),
    ]
    demo.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    return key


def ocr_service(name: str, spec: dict[str, object]) -> dict[str, object]:
    return {
        "apiVersion": "ocr-operator.dev/v1alpha1",
        "kind": "OcrService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**spec, "auth": {"tokenSecretRef": {"name": "invoices-keys"}}},
    }


@contextmanager
def port_forward(demo: Demo, service: str) -> Iterator[str]:
    """`kubectl port-forward` to the Service, as from a laptop; yields the base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            demo.tools["kubectl"], f"--kubeconfig={demo.kubeconfig}", "--namespace", NAMESPACE,
            "port-forward", f"service/{service}", f"{port}:8081",
        ],
        env=demo.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def wait_for_port(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise DemoError(f"kubectl port-forward does not listen on {port}")


def read_pages(demo: Demo, key: str) -> None:
    """POST the three pages and compare each with its ground truth."""
    for page in PAGES:
        path = ROOT / "examples" / "pages" / page.file
        with port_forward(demo, page.service) as base:
            answer = httpx.post(
                f"{base}/ocr",
                headers={"Authorization": f"Bearer {key}"},
                files={"file": (page.file, path.read_bytes())},
                timeout=120,
            )
        if answer.status_code != httpx.codes.OK:
            raise DemoError(f"{page.file}: {answer.status_code} {answer.text}")
        body = answer.json()
        truth = path.with_suffix(".txt").read_text(encoding="utf-8")
        error = character_error_rate(truth, body["text"])
        demo.say(
            f"{page.label} ({page.file}) by {body['engine']}: character error rate {error:.2%}"
        )
        first = [line for line in body["text"].splitlines() if line.strip()][:3]
        print("".join(f"          | {line}\n" for line in first), end="")
        if error > 0.01:
            raise DemoError(f"{page.file}: character error rate {error:.2%} is above 1 %")


def character_error_rate(truth: str, text: str) -> float:
    """Edits per character of the truth, whitespace collapsed."""
    want, have = " ".join(truth.split()), " ".join(text.split())
    return Levenshtein.distance(want, have) / len(want)


def show(demo: Demo) -> None:
    """The table, the probes of one service and the sentence that says why."""
    print("\n$ kubectl get ocrservices --namespace " + NAMESPACE)
    print(demo.kubectl("get", "ocrservices", "--namespace", NAMESPACE), end="")
    for name in ("invoices", "archive"):
        service = json.loads(
            demo.kubectl("get", "ocrservice", name, "--namespace", NAMESPACE, "-o", "json")
        )
        deployment = json.loads(
            demo.kubectl("get", "deployment", name, "--namespace", NAMESPACE, "-o", "json")
        )
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        print(f"\nprobes of {name}: {service['status']['startup']['explanation']}")
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[kind]
            print(
                f"  {kind:15} GET {probe['httpGet']['path']:9} every {probe['periodSeconds']} s, "
                f"timeout {probe['timeoutSeconds']} s, {probe['failureThreshold']} failures"
            )


def say_how_to_go_on(demo: Demo) -> None:
    stop = (
        f"kubectl delete namespace {NAMESPACE}; helm uninstall ocr-operator -n {SYSTEM_NAMESPACE}; "
        f"kubectl delete namespace {SYSTEM_NAMESPACE}; kubectl delete -f crds/"
        if demo.arguments.cluster
        else f"python3 -m testbed down --name {CLUSTER}"
    )
    print(f"""
To go on:
  export KUBECONFIG={demo.kubeconfig} PATH={Path(demo.tools["kubectl"]).parent}:$PATH
  kubectl describe ocrservice invoices --namespace {NAMESPACE}
  kubectl port-forward --namespace {NAMESPACE} service/invoices 8081 &
  KEY=$(kubectl get secret invoices-keys -n {NAMESPACE} -o jsonpath='{{.data.demo}}' | base64 -d)
  curl -H "Authorization: Bearer $KEY" -F file=@examples/pages/letter-en.png \\
       http://127.0.0.1:8081/ocr
To stop:
  {stop}""")


def main() -> int:
    parser = argparse.ArgumentParser(prog="testbed.demo", description=__doc__)
    parser.add_argument(
        "--cluster", help="kubeconfig of a cluster to use instead of the embedded one"
    )
    parser.add_argument("--registry", help="registry to push the images to, with --cluster")
    parser.add_argument("--yes", action="store_true", help="really use that cluster")
    demo = Demo(parser.parse_args())
    try:
        names = ("kubectl", "helm")
        paths = demo.testbed("tool", *names).split()
        demo.tools = dict(zip(names, paths, strict=True))
        if demo.arguments.cluster:
            use_given_cluster(demo)
        else:
            line = demo.testbed("up", "--name", CLUSTER).strip().splitlines()[-1]
            demo.kubeconfig = Path(line.partition("=")[2])
        images = build_images(demo)
        demo.say("installing the operator with helm")
        install_operator(demo, images)
        demo.say("applying two OcrServices")
        key = apply_services(demo)
        demo.kubectl(
            "wait", "--namespace", NAMESPACE, "--for=condition=Ready", "--timeout=180s",
            "ocrservice/invoices", "ocrservice/archive",
        )  # fmt: skip
        demo.say("both are Ready")
        read_pages(demo, key)
        show(demo)
        say_how_to_go_on(demo)
    except DemoError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    demo.say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
