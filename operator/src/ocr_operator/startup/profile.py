"""What was measured for one key across all services: the content of an OcrStartupProfile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocr_operator.startup.sample import Start, StartKey

WINDOW = 200
"""Samples kept per key (with 60, a rare slow mode is forgotten between two of its starts)."""


@dataclass(frozen=True, slots=True)
class Prior:
    """The user's `spec.prior` or the catalogue's: median seconds and spread (sigma of ln seconds)."""

    median_seconds: float
    spread: float
    source: str
    count: int = 0
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """Starts of one key, oldest first, at most `WINDOW`, each container once."""

    key: StartKey
    starts: tuple[Start, ...] = ()
    prior: Prior | None = None
    dropped: int = 0
    """Starts that left the window."""
    newest_dropped: str | None = None
    """`startedAt` (RFC 3339) of the newest dropped start: an older one is not counted again."""


def profile_name(key: StartKey) -> str:
    """`<model>-<hash of the key>`, a valid object name."""
    raise NotImplementedError


def record(profile: Profile, start: Start) -> Profile:
    """Add a start; the same profile object when it is known already or older than what was dropped."""
    raise NotImplementedError


def read_profile(manifest: Mapping[str, Any]) -> Profile | None:
    """From an OcrStartupProfile object as the API shows it; None when it is not readable."""
    raise NotImplementedError


def profile_manifest(profile: Profile, namespace: str) -> dict[str, Any]:
    """The object to apply: `spec.key` and `data`, never `spec.prior` (that is the user's)."""
    raise NotImplementedError
