"""What was measured for one key across all services: the content of an OcrStartupProfile."""

from __future__ import annotations

import bisect
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ocr_operator.api.v1alpha1 import (
    API_VERSION,
    OcrStartupProfile,
    ProfileData,
    ProfileSpec,
    StartKeySpec,
    StartPrior,
    StartSample,
)
from ocr_operator.startup.sample import Source, Start, StartKey

WINDOW = 200
"""Samples kept per key (with 60, a rare slow mode is forgotten between two of its starts)."""

MANAGED_BY = {"app.kubernetes.io/managed-by": "ocr-operator"}
HASH_CHARACTERS = 12
"""Of a SHA-256: at a thousand keys a collision is one in 5·10⁸."""
NAME_MODEL_CHARACTERS = 50
"""Of the model's name in an object's name, so that the whole fits a label."""


@dataclass(frozen=True, slots=True)
class Prior:
    """The user's `spec.prior` or the catalogue's: median seconds and spread (sigma of ln
    seconds)."""

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
    text = json.dumps(list(asdict(key).values()), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]
    model = re.sub(r"[^a-z0-9]+", "-", key.model.lower())[:NAME_MODEL_CHARACTERS].strip("-")
    return f"{model or 'model'}-{digest}"


def record(profile: Profile, start: Start) -> Profile:
    """Add a start; the same profile object when it is known already or older than what was
    dropped."""
    if knows(profile, start.container_id, start.started_at):
        return profile
    starts = list(profile.starts)
    bisect.insort(starts, start, key=_order)
    surplus, kept = starts[:-WINDOW], starts[-WINDOW:]
    if not surplus:
        return replace(profile, starts=tuple(kept))
    return replace(
        profile,
        starts=tuple(kept),
        dropped=profile.dropped + len(surplus),
        newest_dropped=rfc3339(surplus[-1].started_at),
    )


def knows(profile: Profile, container_id: str, started_at: datetime) -> bool:
    """Whether this start was counted, or is too old to tell."""
    dropped = profile.newest_dropped
    if dropped is not None and started_at <= datetime.fromisoformat(dropped):
        return True
    return any(start.container_id == container_id for start in profile.starts)


def rfc3339(moment: datetime) -> str:
    """As Kubernetes writes times; the text of one moment is always the same."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def read_profile(manifest: Mapping[str, Any]) -> Profile | None:
    """From an OcrStartupProfile object as the API shows it; None when it is not readable."""
    try:
        stored = OcrStartupProfile.model_validate(manifest)
    except ValidationError:
        return None
    data = stored.data or ProfileData()
    starts = {sample.container_id: _start(sample) for sample in data.samples or ()}
    return Profile(
        key=_key(stored.spec.key),
        starts=tuple(sorted(starts.values(), key=_order)),
        prior=_prior(stored.spec.prior) if stored.spec.prior else None,
        dropped=data.dropped or 0,
        newest_dropped=rfc3339(data.newest_dropped) if data.newest_dropped else None,
    )


def profile_manifest(profile: Profile, namespace: str) -> dict[str, Any]:
    """The object to apply: `spec.key` and `data`, never `spec.prior` (that is the user's)."""
    key = StartKeySpec(**asdict(profile.key))
    stored = OcrStartupProfile(
        spec=ProfileSpec(key=key),
        data=ProfileData(
            samples=tuple(_sample(start) for start in profile.starts),
            dropped=profile.dropped or None,
            newest_dropped=(
                datetime.fromisoformat(profile.newest_dropped) if profile.newest_dropped else None
            ),
        ),
    )
    return {
        "apiVersion": API_VERSION,
        "kind": "OcrStartupProfile",
        "metadata": {
            "name": profile_name(profile.key),
            "namespace": namespace,
            "labels": dict(MANAGED_BY),
        },
        **stored.wire(),
    }


def _order(start: Start) -> tuple[datetime, str]:
    return (start.started_at, start.container_id)


def _key(key: StartKeySpec) -> StartKey:
    return StartKey(
        model=key.model,
        version=key.version or "",
        backend=key.backend or "",
        repository=key.repository or "",
        digest=key.digest or "",
        device=key.device or "",
        cpu_limit=key.cpu_limit or "",
    )


def _prior(prior: StartPrior) -> Prior:
    return Prior(
        median_seconds=prior.median_seconds,
        spread=prior.spread,
        source=prior.source,
        count=prior.count or 0,
        max_seconds=prior.max_seconds,
    )


def _start(sample: StartSample) -> Start:
    return Start(
        container_id=sample.container_id,
        started_at=sample.started_at.astimezone(UTC),
        seconds=sample.seconds,
        source=Source(sample.source),
        resolution=sample.resolution or 0.0,
        phases=dict(sample.phases or {}),
    )


def _sample(start: Start) -> StartSample:
    return StartSample(
        container_id=start.container_id,
        started_at=start.started_at.astimezone(UTC),
        seconds=start.seconds,
        source=start.source.value,
        resolution=start.resolution,
        phases=start.phases or None,
    )
