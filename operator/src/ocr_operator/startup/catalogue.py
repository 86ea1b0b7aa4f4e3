"""The models: resources, image, and the prior of their start, each with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ocr_operator.startup.profile import Prior


@dataclass(frozen=True, slots=True)
class CatalogueModel:
    """One entry. `requests` are the defaults of `spec.resources`, `gpu_count` that of `spec.gpu.count`."""

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


def read_catalogue(text: str, extra: str = "") -> Catalogue:
    """Parse `catalogue.yaml` and the chart's `catalogue.extra`. Raises `ValueError` with the entry and field."""
    raise NotImplementedError
