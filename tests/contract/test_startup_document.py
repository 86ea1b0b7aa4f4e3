"""The operator's side of the contract: the documents it reads, the environment it sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from objects import resolved

from ocr_operator.api.environment import ALLOWED, RESERVED
from ocr_operator.core.builders.environment import environment
from ocr_operator.startup.probes import DRAIN_SECONDS, LAME_DUCK_SECONDS, generate
from ocr_operator.startup.sample import BadDocument, DocumentState, parse_document

CONTRACT = Path(__file__).parents[2] / "contract"
SCHEMA = Draft202012Validator(json.loads((CONTRACT / "startup.v1.schema.json").read_text()))
EXAMPLES = sorted((CONTRACT / "examples" / "startup.v1").glob("*.json"))
ENVIRONMENT = json.loads((CONTRACT / "environment.v1.json").read_text())["variables"]
PROBES = generate(38.1, 152.4, None)


def example(name: str) -> dict[str, Any]:
    return dict(json.loads((CONTRACT / "examples" / "startup.v1" / f"{name}.json").read_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_is_read(path: Path) -> None:
    body = json.loads(path.read_text())
    SCHEMA.validate(body)
    document = parse_document(body)
    assert document.state.value == body["state"]
    assert document.init_seconds == body["init_seconds"]
    assert list(document.phases) == [phase["name"] for phase in body["phases"]]


def test_the_examples_say_what_the_operator_decides_by() -> None:
    assert parse_document(example("ready")).warnings[0][0] == "secret_missing"
    failed = parse_document(example("failed"))
    assert failed.error is not None
    assert failed.error.startswith("load_layout: no weights")
    assert parse_document(example("loading")).device is None


def test_the_states_are_the_schemas() -> None:
    assert [state.value for state in DocumentState] == SCHEMA.schema["properties"]["state"]["enum"]


@pytest.mark.parametrize("name", SCHEMA.schema["required"])
def test_what_the_schema_requires_is_missed_or_unused(name: str) -> None:
    body = {key: part for key, part in example("ready").items() if key != name}
    assert not SCHEMA.is_valid(body)
    if name == "engine_versions":
        parse_document(body)
    else:
        with pytest.raises(BadDocument):
            parse_document(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.sampled_from(sorted(example("ready"))), JSON)
@hypothesis.example("cpu_limit", -1)
def test_whatever_a_pod_answers_is_a_document_or_refused(name: str, value: Any) -> None:
    body = {**example("ready"), name: value}
    try:
        parse_document(body)
    except BadDocument:
        assert not SCHEMA.is_valid(body) or value != value


def names(**fields: Any) -> set[str]:
    return {entry["name"] for entry in environment(resolved(**fields), PROBES)}


EVERYTHING: dict[str, Any] = {
    "model": {"name": "pp-ocr", "languages": ["en"]},
    "auth": {"tokenSecretRef": {"name": "keys"}},
    "s3": {
        "endpoint": "https://s3",
        "bucket": "results",
        "prefix": "p",
        "region": "r",
        "credentialsSecretRef": {"name": "s"},
    },
    "limits": {
        "maxUploadBytes": "50Mi",
        "maxPagesSync": 1,
        "maxPagesAsync": 2,
        "maxPixels": 3,
        "queueMaxPages": 4,
    },
}


def test_every_name_the_operator_sets_is_in_the_contract() -> None:
    assert names(**EVERYTHING) <= ENVIRONMENT.keys()


def test_what_a_person_may_not_set_is_what_the_operator_sets() -> None:
    ours = names(**EVERYTHING) - {"OCR_LAME_DUCK_S", "OCR_DRAIN_TIMEOUT_S"}
    assert ours <= set(RESERVED)
    assert not ours & set(ALLOWED)


def test_the_defaults_both_sides_rely_on_are_the_same() -> None:
    assert int(ENVIRONMENT["OCR_LAME_DUCK_S"]["default"]) == LAME_DUCK_SECONDS
    assert int(ENVIRONMENT["OCR_DRAIN_TIMEOUT_S"]["default"]) == DRAIN_SECONDS
    paths = {entry["name"]: entry["value"] for entry in environment(resolved(), PROBES)}
    for name in ("OCR_CACHE_DIR", "OCR_STARTUP_DIR", "OCR_PORT", "HOME"):
        assert paths[name] == ENVIRONMENT[name]["default"]
