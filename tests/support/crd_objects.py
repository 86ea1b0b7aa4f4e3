"""Objects of our kinds for tests of the CRDs, and how the API server refuses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kube import Kube
from kubeapi import Api

Json = dict[str, Any]

NAMESPACE = "crds"
CRDS = Path(__file__).parents[2] / "crds"


@contextmanager
def api_with_crds(control_plane: Kube) -> Iterator[Api]:
    """The API server with our CRDs and an empty namespace."""
    api = Api(control_plane.kubeconfig)
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
    for path in CRDS.glob("*.yaml"):
        name = yaml.safe_load(path.read_text())["metadata"]["name"]
        control_plane.kubectl("wait", "--for=condition=Established", f"crd/{name}")
    if not api.find("namespaces", None, NAMESPACE):
        api.create("namespaces", None, {"metadata": {"name": NAMESPACE}})
    yield api
    api.http.close()


@dataclass(frozen=True)
class Refusal:
    """One cause of a 422."""

    field: str
    message: str


def service(spec: Json, name: str = "invoices") -> Json:
    """An OcrService; a model is added where `spec` names none, None removes a field."""
    return {
        "apiVersion": "ocr-operator.dev/v1alpha1",
        "kind": "OcrService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": _without_none({"model": {"name": "pp-ocr"}} | spec),
    }


def profile(prior: Json, name: str = "pp-ocr-1") -> Json:
    """An OcrStartupProfile with a prior that differs from a right one by `prior`."""
    right = {"medianSeconds": 8.5, "spread": 0.2, "source": "staging"}
    return {
        "apiVersion": "ocr-operator.dev/v1alpha1",
        "kind": "OcrStartupProfile",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"key": {"model": "pp-ocr"}, "prior": _without_none(right | prior)},
    }


def refusals(api: Api, body: Json) -> list[Refusal]:
    """What the API server says when `body` is created; nothing when it would be."""
    answer = api.http.post(
        api.path(f"{body['kind'].lower()}s", NAMESPACE),
        json=body,
        params={"dryRun": "All", "fieldValidation": "Strict"},
    )
    causes = answer.json().get("details", {}).get("causes", [])
    return [Refusal(cause["field"], cause["message"]) for cause in causes]


def _without_none(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
