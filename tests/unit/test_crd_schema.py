"""The CRDs as files: structural, described, bounded, and what the models say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio.client import V1CustomResourceDefinition
from pydantic import ValidationError

from ocr_operator.api.crdgen import KINDS, OCR_SERVICE, Kind, crd, main
from ocr_operator.core.builders.volumes import TMP_LIMIT

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "crds"
LARGEST_FILE = 256 * 1024
"""kubectl keeps a copy in an annotation, which may not be larger."""
Schema = dict[str, Any]

of_each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def schema_of(kind: Kind) -> Schema:
    root: Schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in the tree with its path; `[]` stands for entries of lists and maps."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for entries in ("items", "additionalProperties"):
        if entries in schema:
            yield from nodes(schema[entries], f"{path}[]")


def test_the_checked_in_files_are_what_the_models_say() -> None:
    assert main([str(CRDS), "--check"]) == 0


def test_the_limits_say_what_the_server_and_its_pod_do() -> None:
    spec = schema_of(OCR_SERVICE)["properties"]["spec"]["properties"]
    said = {name: entry["description"] for name, entry in spec["limits"]["properties"].items()}
    assert "503 with Retry-After" in said["queueMaxPages"]
    assert f"room for {TMP_LIMIT}" in said["maxUploadBytes"]


def test_a_stale_file_is_found_and_then_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--check"]) == 1
    assert not list(tmp_path.iterdir())
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    stale = tmp_path / OCR_SERVICE.file_name
    stale.write_text(stale.read_text().replace("maxLength: 63", "maxLength: 64"))
    capsys.readouterr()
    assert main([str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err.count("ocrservices.ocr-operator.dev.yaml") == 1


@of_each_kind
def test_the_client_for_crds_knows_every_word(kind: Kind) -> None:
    V1CustomResourceDefinition.model_validate(crd(kind))


def test_the_client_for_crds_refuses_a_word_it_does_not_know() -> None:
    wrong = crd(OCR_SERVICE)
    wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["exclusiveMinimum"] = 3
    with pytest.raises(ValidationError, match="exclusiveMinimum"):
        V1CustomResourceDefinition.model_validate(wrong)


@of_each_kind
def test_every_node_is_structural(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), f"{path} has no type"
        assert not ("properties" in node and "additionalProperties" in node), path
        assert not {"$ref", "anyOf", "allOf", "oneOf", "not", "title", "const"} & node.keys(), path
        assert node.get("additionalProperties") is not False, path
        if node.get("type") == "object" and path != ".metadata":
            assert "properties" in node or "additionalProperties" in node, f"{path} is pruned"
        if node.get("type") == "array":
            assert "items" in node, path


@of_each_kind
def test_nothing_has_a_default(kind: Kind) -> None:
    assert not [path for path, node in nodes(schema_of(kind)) if "default" in node]


@of_each_kind
def test_everything_is_bounded(kind: Kind) -> None:
    """Without bounds the API server refuses rules for their estimated cost."""
    for path, node in nodes(schema_of(kind)):
        if path in (".apiVersion", ".kind", ".metadata"):
            continue
        match node.get("type"):
            case "array":
                assert "maxItems" in node, path
            case "object" if "additionalProperties" in node:
                assert "maxProperties" in node, path
            case "string":
                assert {"maxLength", "enum", "format"} & node.keys(), path


@of_each_kind
def test_every_field_has_a_sentence(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        if path.endswith("[]") or path == ".metadata":
            continue
        words = node.get("description", "")
        assert re.fullmatch(r"[A-Z].*\.", words), f"{path}: {words!r}"
        assert len(words.split()) >= 3, f"{path}: {words!r}"


def test_every_optional_field_of_the_template_says_its_default() -> None:
    spec = dict(nodes(schema_of(OCR_SERVICE)["properties"]["spec"]))
    silent = [
        path
        for path, node in spec.items()
        if path.startswith((".image.", ".resources.", ".gpu.", ".limits.", ".probes.", ".service."))
        and node.get("type") in ("integer", "boolean")
        and "Default:" not in node["description"]
    ]
    # Kubernetes allows one value, which is not a default but the rule.
    assert silent == [".probes.startup.successThreshold", ".probes.liveness.successThreshold"]


@of_each_kind
def test_every_rule_says_what_to_do_in_a_sentence(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        for entry in node.get("x-kubernetes-validations", ()):
            assert re.search(r"\b(must|set|use|choose|remove)\b", entry["message"]), path
            assert len(entry["message"].split()) >= 6, path
            assert entry["rule"].count("(") == entry["rule"].count(")"), path


@of_each_kind
def test_a_rule_of_an_object_points_at_a_field_it_has(kind: Kind) -> None:
    for path, node in nodes(schema_of(kind)):
        for entry in node.get("x-kubernetes-validations", ()):
            at = node
            for name in entry.get("fieldPath", "").split(".")[1:]:
                assert name in at["properties"], f"{path}: {entry['fieldPath']}"
                at = at["properties"][name]


@of_each_kind
def test_the_file_is_small(kind: Kind) -> None:
    assert (CRDS / kind.file_name).stat().st_size < LARGEST_FILE


def test_the_columns_are_those_of_the_product() -> None:
    version = crd(OCR_SERVICE)["spec"]["versions"][0]
    names = [column["name"] for column in version["additionalPrinterColumns"]]
    assert names == ["Ready", "Reason", "Replicas", "Model", "Init", "Budget", "URL", "Age"]


def test_the_columns_show_fields_that_there_are() -> None:
    for kind in KINDS:
        paths = {path for path, _ in nodes(schema_of(kind))}
        for column in kind.columns:
            path = re.sub(r"\[\?.*\]", "[]", column.path)
            assert path in paths or path == ".metadata.creationTimestamp", column.path


def test_the_names_of_the_service_crd() -> None:
    spec = crd(OCR_SERVICE)["spec"]
    assert spec["names"]["shortNames"] == ["ocr"]
    assert "categories" not in spec["names"]
    assert spec["scope"] == "Namespaced"
    assert set(spec["versions"][0]["subresources"]) == {"status", "scale"}


def test_conditions_are_told_apart_by_their_type() -> None:
    conditions = dict(nodes(schema_of(OCR_SERVICE)))[".status.conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_the_profile_has_no_status_subresource() -> None:
    profile = next(kind for kind in KINDS if kind.kind == "OcrStartupProfile")
    assert "subresources" not in crd(profile)["spec"]["versions"][0]
    assert profile.short == "ocrsp"


def test_the_files_are_plain_yaml_with_one_crd_each() -> None:
    for path in CRDS.glob("*.yaml"):
        (body,) = yaml.safe_load_all(path.read_text())
        assert path.name == f"{body['metadata']['name']}.yaml"
