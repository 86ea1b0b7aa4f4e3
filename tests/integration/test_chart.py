"""The chart, rendered by helm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "ocr-operator"

Json = dict[str, Any]
Helm = Callable[..., "subprocess.CompletedProcess[str]"]
Render = Callable[..., list[Json]]

PULL_SECRET = "registry"


@pytest.fixture(scope="session")
def helm() -> Helm:
    found = subprocess.run(
        ["python3", "-m", "testbed", "tool", "helm"], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=sys.stderr, text=True, timeout=1200, check=True,
    ).stdout.strip()  # fmt: skip

    def run(*arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [found, *arguments, "--values", "-"], input=yaml.safe_dump(values or {}),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def render(helm: Helm) -> Render:
    def run(release: str = "ocr-operator", **values: Any) -> list[Json]:
        done = helm("template", release, str(CHART), "--namespace", "ocr-system", values=values)
        assert done.returncode == 0, done.stderr
        return [document for document in yaml.safe_load_all(done.stdout) if document]

    return run


def of_kind(documents: list[Json], kind: str) -> list[Json]:
    return [document for document in documents if document["kind"] == kind]


def deployment(documents: list[Json]) -> Json:
    (found,) = of_kind(documents, "Deployment")
    return found


def environment(documents: list[Json]) -> Json:
    container = deployment(documents)["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_helm_finds_nothing_to_complain_of(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_value_is_refused_with_its_name(helm: Helm) -> None:
    done = helm("template", "x", str(CHART), values={"watchNamespace": ["a"]})
    assert done.returncode != 0
    assert "watchNamespace" in done.stderr


def test_the_crds_are_the_generated_ones_and_are_kept(render: Render) -> None:
    for crd in of_kind(render(), "CustomResourceDefinition"):
        generated = yaml.safe_load((ROOT / "crds" / f"{crd['metadata']['name']}.yaml").read_text())
        generated["metadata"]["annotations"] = {"helm.sh/resource-policy": "keep"}
        assert crd == generated


def test_the_crds_can_be_left_out(render: Render) -> None:
    assert len(of_kind(render(), "CustomResourceDefinition")) == 2
    assert not of_kind(render(crds={"install": False}), "CustomResourceDefinition")


def test_the_pod_is_fit_for_the_restricted_standard(render: Render) -> None:
    spec = deployment(render())["spec"]["template"]["spec"]
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_only_one_operator_runs_at_a_time(render: Render) -> None:
    spec = deployment(render())["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_operator_is_told_what_the_values_say(render: Render) -> None:
    documents = render(
        image={"repository": "r.example/op", "digest": f"sha256:{'a' * 64}"},
        imagePullSecrets=[{"name": PULL_SECRET}],
        images={"cpu": {"repository": "r.example/ocr", "tag": "1"}, "gpu": {"repository": ""}},
        serverImagePullPolicy="Always",
        watchNamespaces=["a", "b"],
        logLevel="DEBUG",
    )
    spec = deployment(documents)["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == f"r.example/op@sha256:{'a' * 64}"
    assert spec["imagePullSecrets"] == [{"name": PULL_SECRET}]
    assert environment(documents) == {
        "OCR_OPERATOR_NAMESPACE": None,  # from the pod's own
        "OCR_OPERATOR_WATCH_NAMESPACES": "a,b",
        "OCR_OPERATOR_IMAGE_CPU": "r.example/ocr:1",
        "OCR_OPERATOR_IMAGE_GPU": "",
        "OCR_OPERATOR_IMAGE_PULL_POLICY": "Always",
        "OCR_OPERATOR_LOG_LEVEL": "DEBUG",
        "OCR_OPERATOR_HTTP_PORT": "8080",
    }


def test_the_default_images_are_those_of_the_charts_version(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    documents = render()
    found = deployment(documents)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert found == f"ocr-operator:{version}"
    assert environment(documents)["OCR_OPERATOR_IMAGE_CPU"] == f"ocr-inference:cpu-{version}"
    assert environment(documents)["OCR_OPERATOR_IMAGE_GPU"] == f"ocr-inference:gpu-{version}"


def test_further_models_arrive_as_a_file_whose_change_restarts_the_operator(render: Render) -> None:
    extra = {"big": {"versions": ["1"], "limits": {"bytes": 123456789012}, "half": 0.5}}
    documents = render(catalogue={"extra": extra})
    (config_map,) = of_kind(documents, "ConfigMap")
    assert yaml.safe_load(config_map["data"]["catalogue.yaml"]) == extra
    path = environment(documents)["OCR_OPERATOR_CATALOGUE_EXTRA"]
    template = deployment(documents)["spec"]["template"]
    (mount,) = (m for m in template["spec"]["containers"][0]["volumeMounts"] if m["name"] != "tmp")
    assert path == f"{mount['mountPath']}/catalogue.yaml"
    other = deployment(render(catalogue={"extra": {"big": {"versions": ["2"]}}}))["spec"][
        "template"
    ]
    assert other["metadata"]["annotations"] != template["metadata"]["annotations"]


def rules(documents: list[Json]) -> list[tuple[str, str, str]]:
    """(role's kind, namespace or nothing, "group/resource: verbs") of every rule."""
    return sorted(
        (role["kind"], role["metadata"].get("namespace", ""), f"{group}/{resource}: {verbs}")
        for role in documents
        if role["kind"] in ("Role", "ClusterRole")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verbs in [" ".join(rule["verbs"])]
    )


SERVED = [
    "/namespaces: get",
    "/pods: list watch",
    "/services: get list watch create patch",
    "apps/deployments: get list watch create patch",
    "events.k8s.io/events: create",
    "ocr-operator.dev/ocrservices/status: patch",
    "ocr-operator.dev/ocrservices: get list watch",
    "ocr-operator.dev/ocrstartupprofiles: list watch",
]
OWN = ("Role", "ocr-system", "ocr-operator.dev/ocrstartupprofiles: create patch delete")


def test_its_rights_are_these_and_no_others(render: Render) -> None:
    assert rules(render()) == sorted([("ClusterRole", "", rule) for rule in SERVED] + [OWN])


def test_with_named_namespaces_it_has_no_right_elsewhere(render: Render) -> None:
    documents = render(watchNamespaces=["a", "ocr-system"])
    expected = [("Role", where, rule) for where in ("a", "ocr-system") for rule in SERVED]
    assert rules(documents) == sorted([*expected, OWN])
    assert not of_kind(documents, "ClusterRoleBinding")


def test_every_role_is_bound_to_the_pods_account(render: Render) -> None:
    documents = render(watchNamespaces=["a"])
    (account,) = of_kind(documents, "ServiceAccount")
    subject = {
        "kind": "ServiceAccount",
        "name": account["metadata"]["name"],
        "namespace": "ocr-system",
    }
    bound = {
        (binding["metadata"]["namespace"], binding["roleRef"]["name"])
        for binding in of_kind(documents, "RoleBinding")
        if binding["subjects"] == [subject]
    }
    assert bound == {
        (role["metadata"]["namespace"], role["metadata"]["name"])
        for role in of_kind(documents, "Role")
    }
    pod = deployment(documents)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_the_release_name_is_part_of_the_names_once(render: Render) -> None:
    assert deployment(render())["metadata"]["name"] == "ocr-operator"
    assert deployment(render("another"))["metadata"]["name"] == "another-ocr-operator"
