"""Starts as data: what identifies alike starts, what one measured, what a pod says about it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 1
"""`schemaVersion` of `contract/startup.v1.schema.json`."""
PHASES_MAX = 32
PHASE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
SHORT_TEXTS = frozenset({"model", "version", "backend", "device", "name", "code"})
SHORT_TEXT_MAX = 512
"""Characters of what is kept in a profile or a label. The limits of `api/profile.py`."""
BELIEF_MARGIN_SECONDS = 2.0
"""A document may claim this much more than the Pod itself shows, whose times are whole seconds."""


@dataclass(frozen=True, slots=True, order=True)
class StartKey:
    """Starts with an equal key are alike (the level "exact"). `cpu_limit` is cores, for CPU engines
    only."""

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
    if not isinstance(body, Mapping):
        raise BadDocument("the document is not an object")
    version = body.get("schemaVersion")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BadDocument(f"schemaVersion is {version!r}, known is {SCHEMA_VERSION}")
    try:
        return Document(
            model=_text(body, "model"),
            version=_text(body, "version"),
            backend=_text(body, "backend"),
            device=_optional_text(body, "device"),
            cpu_limit=_optional_seconds(body, "cpu_limit"),
            state=DocumentState(body["state"]),
            phases=_phases(body["phases"]),
            init_seconds=_optional_seconds(body, "init_seconds"),
            attempts=int(_seconds(body, "attempts")),
            error=_optional_text(body, "error"),
            warnings=tuple(
                (_text(entry, "code"), _text(entry, "message")) for entry in body["warnings"]
            ),
        )
    except KeyError as missing:
        raise BadDocument(f"{missing.args[0]} is missing") from missing
    except (TypeError, AttributeError) as wrong:
        raise BadDocument(f"a part has the wrong type: {wrong}") from wrong
    except (ValueError, OverflowError) as wrong:
        raise BadDocument(str(wrong)) from wrong


def start_from_document(
    container_id: str, started_at: datetime, document: Document, shown_seconds: float
) -> Start | None:
    """The measured start of a ready document; None when there is none to believe.

    `shown_seconds` is the longest the start can have taken by the Pod's own times. A container can
    claim anything, and a claim longer than its own life would raise everybody's budget.
    """
    seconds = document.init_seconds
    if document.state is not DocumentState.READY or seconds is None or seconds <= 0:
        return None
    if seconds > shown_seconds + BELIEF_MARGIN_SECONDS:
        return None
    return Start(
        container_id=container_id,
        started_at=started_at,
        seconds=round(seconds, 3),
        source=Source.DOCUMENT,
        resolution=0.01,
        phases={name: round(spent, 3) for name, spent in document.phases.items()},
    )


def start_from_pod(
    container_id: str, started_at: datetime, ready_at: datetime, probe_period_seconds: int
) -> Start | None:
    """The start as the Pod's timestamps show it, for an image without a document.

    Both times are cut to whole seconds, and readiness is seen up to a probe period late.
    """
    seconds = (ready_at - started_at).total_seconds()
    if seconds < 0:
        return None
    return Start(
        container_id=container_id,
        started_at=started_at,
        # A start within one second would be a logarithm of zero.
        seconds=max(seconds, 1.0),
        source=Source.POD,
        resolution=1.0 + probe_period_seconds,
    )


def _phases(entries: list[Mapping[str, Any]]) -> dict[str, float]:
    """Their names become labels of metrics and keys of a profile: few, short and plain."""
    if len(entries) > PHASES_MAX:
        raise BadDocument(f"{len(entries)} phases, more than {PHASES_MAX}")
    phases = {_text(entry, "name"): _seconds(entry, "seconds") for entry in entries}
    odd = [name for name in phases if not PHASE_NAME.fullmatch(name)]
    if odd:
        raise BadDocument(f"the name of a phase is not in lower_case: {odd[0]!r}")
    return phases


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise BadDocument(f"{name} is not a string")
    value.encode()  # half a surrogate pair parses, and breaks whoever writes it out again
    if name in SHORT_TEXTS and len(value) > SHORT_TEXT_MAX:
        raise BadDocument(f"{name} has {len(value)} characters, more than {SHORT_TEXT_MAX}")
    return value


def _optional_text(body: Mapping[str, Any], name: str) -> str | None:
    return None if body[name] is None else _text(body, name)


def _seconds(body: Mapping[str, Any], name: str) -> float:
    value = body[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise BadDocument(f"{name} is not a number of at least 0")
    return float(value)


def _optional_seconds(body: Mapping[str, Any], name: str) -> float | None:
    return None if body[name] is None else _seconds(body, name)
