"""The models as Python sees them: what is stored is read, what is not set stays unset."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from ocr_operator.api.structural import structural_schema
from ocr_operator.api.v1alpha1 import (
    ALLOWED,
    RESERVED,
    ApiModel,
    OcrServiceSpec,
    OcrServiceStatus,
    OcrStartupProfile,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def service_specs(path: Path) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(path.read_text())
    return [body["spec"] for body in documents if body["kind"] == "OcrService"]


def test_the_smallest_spec_sets_nothing_else() -> None:
    spec = OcrServiceSpec.model_validate({"model": {"name": "pp-ocr"}})
    assert spec.model_fields_set == {"model"}
    assert spec.wire() == {"model": {"name": "pp-ocr"}}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_loses_nothing_when_it_is_read(path: Path) -> None:
    for body in service_specs(path):
        assert OcrServiceSpec.model_validate(body).wire() == body


def test_an_unknown_field_is_ignored() -> None:
    stored = {"model": {"name": "pp-ocr", "source": {}}, "scaling": {"minReplicas": 1}}
    assert OcrServiceSpec.model_validate(stored).wire() == {"model": {"name": "pp-ocr"}}


def test_a_value_that_older_rules_allowed_is_still_read() -> None:
    stored = {"model": {"name": "PP_OCR"}, "image": {"digest": "sha256:short"}}
    spec = OcrServiceSpec.model_validate(stored)
    assert spec.image is not None
    assert spec.image.digest == "sha256:short"


@pytest.mark.parametrize("written", [4, "4"])
def test_a_quantity_is_text_however_it_was_written(written: int | str) -> None:
    stored = {
        "model": {"name": "pp-ocr"},
        "resources": {"requests": {"cpu": written}},
        "limits": {"maxUploadBytes": written},
    }
    spec = OcrServiceSpec.model_validate(stored)
    assert spec.resources is not None
    assert spec.resources.requests == {"cpu": "4"}
    assert spec.limits is not None
    assert spec.limits.max_upload_bytes == "4"


def test_true_is_no_quantity() -> None:
    with pytest.raises(ValidationError):
        OcrServiceSpec.model_validate(
            {"model": {"name": "pp-ocr"}, "limits": {"maxUploadBytes": True}}
        )


def test_a_backend_of_a_later_version_is_named_by_the_error() -> None:
    with pytest.raises(ValidationError, match=r"model\.backend"):
        OcrServiceSpec.model_validate({"model": {"name": "paddleocr-vl", "backend": "later"}})


def test_a_spec_cannot_be_changed() -> None:
    spec = OcrServiceSpec.model_validate({"model": {"name": "pp-ocr"}})
    with pytest.raises(ValidationError, match="frozen"):
        spec.replicas = 3  # type: ignore[misc]


def test_lists_are_read_as_tuples() -> None:
    spec = OcrServiceSpec.model_validate({"model": {"name": "tesseract", "languages": ["ru"]}})
    assert spec.model.languages == ("ru",)


def test_a_status_is_written_in_camel_case_without_what_is_not_known() -> None:
    written = {
        "observedGeneration": 3,
        "replicasText": "1/1",
        "model": "pp-ocr-6",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Serving",
                "message": "1 of 1 pods ready",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }
        ],
        "startup": {
            "key": {"model": "pp-ocr", "cpuLimit": "2"},
            "p50Seconds": 38.25,
            "applied": {"budgetSeconds": 153.0, "startup": {"failureThreshold": 78}},
            "phases": {"import": 0.71},
        },
    }
    assert OcrServiceStatus.model_validate(written).wire() == written


def test_seconds_are_written_with_three_decimals() -> None:
    sample = {
        "containerID": "containerd://a",
        "startedAt": datetime(2026, 1, 2, tzinfo=UTC),
        "seconds": 2.09449,
        "source": "document",
        "phases": {"import": 1.23456},
    }
    profile = OcrStartupProfile.model_validate(
        {"spec": {"key": {"model": "pp-ocr"}}, "data": {"samples": [sample]}}
    )
    (written,) = profile.wire()["data"]["samples"]
    assert written == {
        **sample,
        "startedAt": "2026-01-02T00:00:00Z",
        "seconds": 2.094,
        "phases": {"import": 1.235},
    }


def test_every_variable_of_the_contract_is_either_reserved_or_allowed() -> None:
    contract = json.loads((ROOT / "contract/environment.v1.json").read_text())
    assert set(RESERVED) | set(ALLOWED) == set(contract["variables"])
    assert not set(RESERVED) & set(ALLOWED)


def test_a_union_of_two_types_is_no_structural_schema() -> None:
    class Union(ApiModel):
        either: int | str

    with pytest.raises(ValueError, match="no union types"):
        structural_schema(Union)


def test_a_field_keeps_its_own_words_over_those_of_its_type() -> None:
    class Inner(ApiModel):
        """Words of the type."""

        value: float | None = None
        """A number."""

    class Outer(ApiModel):
        inner: Inner | None = None
        """Words of
        the field."""

    schema = structural_schema(Outer)["properties"]["inner"]
    assert schema == {
        "description": "Words of the field.",
        "type": "object",
        "properties": {"value": {"description": "A number.", "type": "number"}},
    }


def test_an_exclusive_bound_is_a_bound_and_a_flag() -> None:
    prior = structural_schema(OcrStartupProfile)["properties"]["spec"]["properties"]["prior"]
    median = prior["properties"]["medianSeconds"]
    assert median["minimum"] == 0
    assert median["exclusiveMinimum"] is True


def test_a_constant_is_an_enum() -> None:
    auth = structural_schema(OcrServiceSpec)["properties"]["auth"]
    assert auth["properties"]["mode"]["enum"] == ["None"]
