"""Wrong objects, each refused by a real API server with a sentence that names the field."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from crd_objects import Json, Refusal, api_with_crds, profile, refusals, service
from kube import Kube
from kubeapi import Api

WRONG = yaml.safe_load(Path(__file__).with_name("crd_wrong_specs.yaml").read_text())


@pytest.fixture(scope="module")
def crd_api(control_plane: Kube) -> Iterator[Api]:
    with api_with_crds(control_plane) as api:
        yield api


def said(given: list[Refusal], field: str, phrase: str) -> bool:
    return any(refusal.field == field and phrase in refusal.message for refusal in given)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case["what"])
def test_a_wrong_spec_is_refused(crd_api: Api, case: Json) -> None:
    given = refusals(crd_api, service(case["spec"]))
    assert said(given, case["field"], case["phrase"]), given


@pytest.mark.parametrize("name", ["1st", "a.b", "ends-", "n" * 53])
def test_a_name_that_no_service_can_have_is_refused(crd_api: Api, name: str) -> None:
    given = refusals(crd_api, service({}, name=name))
    assert any("metadata.name must be" in refusal.message for refusal in given), given


@pytest.mark.parametrize(
    ("prior", "field", "phrase"),
    [
        ({"medianSeconds": 0}, "spec.prior.medianSeconds", "greater than 0"),
        ({"spread": -1}, "spec.prior.spread", "greater than 0"),
        ({"source": None}, "spec.prior.source", "Required value"),
        ({"maxSeconds": 3}, "spec.prior", "must not be less than prior.medianSeconds"),
        ({"count": "ten"}, "spec.prior.count", "of type integer"),
    ],
)
def test_a_wrong_prior_is_refused(crd_api: Api, prior: Json, field: str, phrase: str) -> None:
    given = refusals(crd_api, profile(prior))
    assert said(given, field, phrase), given


def test_a_field_that_there_is_not_is_refused_by_kubectl(
    crd_api: Api, control_plane: Kube, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(service({"probes": {"startupp": {}}})))
    with pytest.raises(AssertionError, match=r'unknown field "spec\.probes\.startupp"'):
        control_plane.kubectl("apply", "--dry-run=server", f"--filename={path}")
