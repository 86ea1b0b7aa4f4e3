"""What can be said of the chart without helm; tests/integration/test_chart.py renders it."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "ocr-operator"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def test_the_charts_crds_are_the_generated_ones() -> None:
    generated = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    copied = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert generated
    assert copied == generated, "run python -m ocr_operator.api.crdgen"


def test_the_crds_have_the_one_line_that_the_chart_adds_its_annotation_after() -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        text = path.read_text()
        assert len(re.findall(r"(?m)^metadata:\n", text)) == 1, path.name
        assert "annotations" not in yaml.safe_load(text)["metadata"], path.name


def test_the_default_values_are_valid() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image.repositry", "x"),
        ("image.tag", "a b"),
        ("image.digest", "sha256:1"),
        ("image.pullPolicy", "Sometimes"),
        ("images.tpu", {}),
        ("watchNamespaces", "default"),
        ("watchNamespaces", ["Default"]),
        ("crds.install", "no"),
        ("logLevel", "info"),
        ("catalogue.extra", {"m": "entry"}),
        ("replicas", 2),
    ],
)
def test_a_wrong_value_is_refused(path: str, value: object) -> None:
    values = copy.deepcopy(VALUES)
    *parents, last = path.split(".")
    target = values
    for parent in parents:
        target = target[parent]
    target[last] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, SCHEMA)


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in ("resources", "nodeSelector"):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_readme_names_every_value() -> None:
    rows = re.findall(r"(?m)^\| (`.*?) \|", (CHART / "README.md").read_text())
    named: set[str] = set()
    for row in rows:
        first, *others = re.findall(r"`([^`]+)`", row)
        parent = first.rpartition(".")[0]
        named |= {first} | {f"{parent}{other}" if other[0] == "." else other for other in others}
    assert set(leaves(VALUES)) <= named


def test_nothing_of_the_chart_speaks_of_secrets_as_a_resource() -> None:
    for path in (CHART / "templates").iterdir():
        assert not re.search(r"resources:.*\bsecrets\b", path.read_text()), path.name
