"""From sources to two OcrServices: images, the chart, the objects a person would apply."""

from __future__ import annotations

import base64
import secrets

import yaml

from testbed.demo.shell import CLUSTER, NAMESPACE, SYSTEM_NAMESPACE, Demo, DemoError


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
    key = key_of_an_earlier_run(demo) or secrets.token_urlsafe(24)
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


def key_of_an_earlier_run(demo: Demo) -> str:
    """Empty on the first one. Running pods would see another key only when the kubelet syncs."""
    found = demo.kubectl(
        "get", "secret", "invoices-keys", "--namespace", NAMESPACE, "--ignore-not-found",
        "--output=jsonpath={.data.demo}",
    )  # fmt: skip
    return base64.b64decode(found).decode()


def ocr_service(name: str, spec: dict[str, object]) -> dict[str, object]:
    return {
        "apiVersion": "ocr-operator.dev/v1alpha1",
        "kind": "OcrService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {**spec, "auth": {"tokenSecretRef": {"name": "invoices-keys"}}},
    }
