"""The catalogue that is shipped, and what an installation adds to it."""

from __future__ import annotations

import pytest
from objects import SCRIPTED, catalogue

from ocr_operator.startup.catalogue import read_catalogue


@pytest.mark.parametrize(
    ("name", "version", "image", "gpus", "requests"),
    [
        ("paddleocr-vl", "1.6", "gpu", 1, {"cpu": "4", "memory": "16Gi"}),
        ("pp-ocr", "6", "cpu", 0, {"cpu": "250m", "memory": "768Mi"}),
        ("tesseract", "5", "cpu", 0, {"cpu": "250m", "memory": "256Mi"}),
    ],
)
def test_the_shipped_models(
    name: str, version: str, image: str, gpus: int, requests: dict[str, str]
) -> None:
    model = catalogue("").models[name]
    assert (model.versions[-1], model.image, model.gpu_count) == (version, image, gpus)
    assert model.requests == requests
    assert model.backends == ("native",)
    assert model.port == 8081


def test_every_prior_names_its_source() -> None:
    for model in catalogue("").models.values():
        assert "measured" in model.prior.source
        assert 0 < model.prior.median_seconds <= 60
        assert model.prior.spread >= 0.2


def test_norwegian_is_a_language_and_not_false() -> None:
    assert "no" in catalogue("").models["pp-ocr"].languages


def test_the_installation_adds_and_replaces_entries() -> None:
    replaced = SCRIPTED.replace("scripted:", "tesseract:")
    found = read_catalogue(SCRIPTED.replace("scripted:", "tesseract:"), SCRIPTED + replaced)
    assert list(found.models) == ["scripted", "tesseract"]
    assert found.models["tesseract"].engine == "scripted"


def test_an_extra_in_json_is_read() -> None:
    extra = (
        '{"mine": {"versions": [1], "engine": "scripted", "image": "cpu", "requests": {"cpu": 2},'
        ' "prior": {"medianSeconds": 12, "spread": 0.5, "source": "me", "maxSeconds": 20}}}'
    )
    model = read_catalogue("", extra).models["mine"]
    assert (model.versions, model.requests, model.prior.max_seconds) == (("1",), {"cpu": "2"}, 20)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("mine: {}", "catalogue.extra, entry mine: versions: Field required"),
        (SCRIPTED + "  port: 99999\n", "entry scripted: port"),
        (SCRIPTED + "  imgae: cpu\n", "entry scripted: imgae: Extra inputs are not permitted"),
        (SCRIPTED.replace("0.5", "-1"), "entry scripted: prior.spread"),
        ("mine: 7", "entry mine: the entry"),
        ("[1, 2]", "must be a mapping"),
        ("{", "catalogue.extra is not YAML"),
    ],
)
def test_a_mistake_is_named_with_its_entry_and_field(extra: str, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_catalogue("", extra)
    assert says in str(refused.value)
