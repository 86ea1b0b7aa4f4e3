"""Starts as data: what identifies alike starts, what one start measured, what a pod reported about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class StartKey:
    """Starts with an equal key are alike (the level "exact"). `cpu_limit` is cores, for CPU engines only."""

    model: str
    version: str
    backend: str
    repository: str
    digest: str
    """Hex after `sha256:` in the Pod's imageID; config or manifest digest, opaque."""
    device: str
    cpu_limit: str = ""


class Source(StrEnum):
    """Where the seconds come from."""

    DOCUMENT = "document"
    POD = "pod"


@dataclass(frozen=True, slots=True)
class Start:
    """One ready start of one container. `resolution` is how far `seconds` may be off, seconds."""

    container_id: str
    started_at: datetime
    seconds: float
    source: Source
    resolution: float
    phases: Mapping[str, float] = field(default_factory=dict)


class DocumentState(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Document:
    """The startup document of `contract/startup.v1.schema.json`, as far as the operator uses it."""

    model: str
    version: str
    backend: str
    device: str | None
    cpu_limit: float | None
    state: DocumentState
    phases: Mapping[str, float]
    init_seconds: float | None
    attempts: int
    error: str | None
    warnings: tuple[tuple[str, str], ...]
    """`(code, message)` pairs."""


class BadDocument(ValueError):
    """The answer is not a startup document of a version this operator knows."""


def parse_document(body: Mapping[str, Any]) -> Document:
    """Read a document; unknown fields are ignored. Raises `BadDocument`."""
    raise NotImplementedError
