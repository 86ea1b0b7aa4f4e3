"""The models: resources, image, and the prior of their start, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ocr_operator.api.v1alpha1 import StartPrior
from ocr_operator.startup.profile import Prior


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One entry. `requests` are the defaults of `spec.resources`, `gpu_count` that of
    `spec.gpu.count`."""

    name: str
    versions: tuple[str, ...]
    """Newest last; the last is the default."""
    engine: str
    image: str
    """Key of `Policy.images`."""
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    prior: Prior
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes it can read; empty: not restricted."""
    gpu_count: int = 0
    backends: tuple[str, ...] = ("native",)
    port: int = 8081


@dataclass(frozen=True, slots=True)
class Catalogue:
    """By name."""

    models: Mapping[str, CatalogueModel] = field(default_factory=dict)


def _as_text(value: object) -> object:
    """YAML reads an unquoted 1.6 or 4 as a number."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_Text = Annotated[str, Field(min_length=1), BeforeValidator(_as_text)]


class _Entry(BaseModel):
    """An entry as it is written; an unknown field is a mistake in writing."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    versions: Annotated[tuple[_Text, ...], Field(min_length=1)]
    engine: _Text
    image: _Text
    requests: Mapping[str, _Text] = Field(default_factory=dict)
    limits: Mapping[str, _Text] = Field(default_factory=dict)
    prior: StartPrior
    languages: tuple[_Text, ...] = ()
    gpu_count: Annotated[int, Field(ge=0)] = 0
    backends: Annotated[tuple[_Text, ...], Field(min_length=1)] = ("native",)
    port: Annotated[int, Field(ge=1, le=65535)] = 8081


def read_catalogue(text: str, extra: str = "") -> Catalogue:
    """Parse `catalogue.yaml` and the chart's `catalogue.extra`, whose entries replace those of the
    same name. Raises `ValueError` with the entry and field."""
    models = _read("catalogue.yaml", text) | _read("catalogue.extra", extra)
    return Catalogue(models=dict(sorted(models.items())))


def _read(origin: str, text: str) -> dict[str, CatalogueModel]:
    try:
        entries = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{origin} is not YAML: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{origin} must be a mapping from model names to entries")
    return {str(name): _model(origin, str(name), entry) for name, entry in entries.items()}


def _model(origin: str, name: str, entry: object) -> CatalogueModel:
    try:
        written = _Entry.model_validate(entry)
    except ValidationError as invalid:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in error['loc']) or 'the entry'}: {error['msg']}"
            for error in invalid.errors(include_url=False, include_input=False)
        )
        raise ValueError(f"{origin}, entry {name}: {mistakes}") from invalid
    prior = written.prior
    return CatalogueModel(
        name=name,
        versions=written.versions,
        engine=written.engine,
        image=written.image,
        requests=dict(written.requests),
        limits=dict(written.limits),
        prior=Prior(
            prior.median_seconds, prior.spread, prior.source, prior.count or 0, prior.max_seconds
        ),
        languages=written.languages,
        gpu_count=written.gpu_count,
        backends=written.backends,
        port=written.port,
    )
