"""The server against `contract/`: what it says of its start, and the environment it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ocr_inference.settings import Settings
from ocr_inference.startup import StartRecord, StartupDocument, StartWarning

CONTRACT = Path(__file__).parents[2] / "contract"
SCHEMA = Draft202012Validator(json.loads((CONTRACT / "startup.v1.schema.json").read_text()))
ENVIRONMENT = json.loads((CONTRACT / "environment.v1.json").read_text())
VARIABLES: dict[str, dict[str, Any]] = ENVIRONMENT["variables"] | ENVIRONMENT["server_only"]

FOR_LIBRARIES = {"HOME"}
"""Read by the engines' libraries, not by us."""


def names(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    if alias is None:
        return [f"OCR_{name.upper()}"]
    return [str(choice) for choice in getattr(alias, "choices", [alias])]


FIELDS = {names(name, field)[0]: (name, field) for name, field in Settings.model_fields.items()}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_server_reads_exactly_the_variables_of_the_contract() -> None:
    assert not ENVIRONMENT["variables"].keys() & ENVIRONMENT["server_only"].keys()
    assert set(FIELDS) == set(VARIABLES) - FOR_LIBRARIES


@pytest.mark.parametrize("variable", sorted(set(VARIABLES) - FOR_LIBRARIES))
def test_defaults_and_aliases_are_those_of_the_contract(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, field = FIELDS[variable]
    assert names(name, field)[1:] == VARIABLES[variable].get("aliases", [])
    default = getattr(Settings(), name)
    monkeypatch.setenv(variable, VARIABLES[variable]["default"])
    assert getattr(Settings(), name) == default


@pytest.mark.parametrize(
    "variable", sorted(name for name in VARIABLES if "aliases" in VARIABLES[name])
)
def test_the_names_of_older_deployments_are_read(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLES[variable]["aliases"][0], "theirs")
    value = getattr(Settings(), FIELDS[variable][0])
    assert (value.get_secret_value() if isinstance(value, SecretStr) else value) == "theirs"
    monkeypatch.setenv(variable, "ours")
    value = getattr(Settings(), FIELDS[variable][0])
    assert (value.get_secret_value() if isinstance(value, SecretStr) else value) == "ours"


@pytest.mark.parametrize("path", sorted((CONTRACT / "examples" / "startup.v1").glob("*.json")))
def test_the_golden_documents_are_documents_of_this_server(path: Path) -> None:
    golden = json.loads(path.read_text())
    SCHEMA.validate(golden)
    assert StartupDocument.model_validate(golden).model_dump(mode="json") == golden


def test_every_document_of_a_start_is_valid() -> None:
    record = StartRecord("pp-ocr", "6", "native", 2.0, began=0.0)
    warnings = [StartWarning(code="secret_missing", message="the key Secret is not mounted")]

    def check(now: float) -> None:
        SCHEMA.validate(record.document(now, warnings).model_dump(mode="json"))

    check(0.1)
    record.spawned(0.2)
    record.answering(0.8)
    check(0.9)
    record.planned(["import", "warmup"], "6")
    record.phase("import", "running", 1.0)
    check(1.1)
    record.failed("import: no", 1.2)
    check(1.3)
    record.spawned(2.0)
    record.planned(["import", "warmup"], "6")
    for name in ("import", "warmup"):
        record.phase(name, "running", 2.1)
        record.phase(name, "done", 2.2)
    record.ready({"rapidocr": "3.10.0"}, "cpu")
    check(3.0)
