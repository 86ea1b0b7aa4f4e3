"""The environment of the server's container (`contract/environment.v1.json`)."""

from __future__ import annotations

import math
from typing import Any

from ocr_operator.api.v1alpha1 import EnvVar
from ocr_operator.core.builders.volumes import (
    CACHE_PATH,
    KEYS_PATH,
    OUTPUT_PATH,
    S3_PATH,
    STARTUP_PATH,
    TMP_PATH,
)
from ocr_operator.core.quantity import plain
from ocr_operator.core.resolve import Resolved
from ocr_operator.startup.probes import DRAIN_SECONDS, LAME_DUCK_SECONDS, Probes, pod_grace

HEARTBEAT = "OCR_HEARTBEAT_DEADLINE_S"
LAME_DUCK = "OCR_LAME_DUCK_S"
DRAIN = "OCR_DRAIN_TIMEOUT_S"
SYNC_TIMEOUT = "OCR_SYNC_TIMEOUT_S"


def environment(service: Resolved, probes: Probes) -> list[dict[str, Any]]:
    """Entries by name, a person's after ours. A name is in the list once, as the API demands: the
    two that are only defaults give way to a person's entry, the others do not."""
    ours = {
        "OCR_PORT": str(service.model.port),
        "OCR_MODEL": service.model.engine,
        "OCR_MODEL_VERSION": service.version,
        "OCR_BACKEND": service.backend,
        "OCR_LANGUAGES": ",".join(service.spec.model.languages or ()),
        "OCR_DEVICE": "gpu:0" if service.gpu_count else "cpu",
        **_access(service),
        **_storage(service),
        **_limits(service),
        HEARTBEAT: str(probes.heartbeat_deadline),
    }
    defaults = {LAME_DUCK: str(LAME_DUCK_SECONDS), DRAIN: str(_default_drain(service))}
    theirs = {entry.name: entry.wire() for entry in _theirs(service)}
    given = {name: value for name, value in ours.items() if value}
    given |= {name: value for name, value in defaults.items() if name not in theirs}
    entries = [{"name": name, "value": value} for name, value in given.items()]
    return entries + [entry for name, entry in theirs.items() if name not in given]


def grace_period(service: Resolved) -> int:
    """The pod's: long enough for the lame duck and drain times that a person may have set."""
    return pod_grace(
        _their_seconds(service, LAME_DUCK, LAME_DUCK_SECONDS),
        _their_seconds(service, DRAIN, _default_drain(service)),
    )


def _default_drain(service: Resolved) -> int:
    """As long as a request may take from its arrival: the last one may arrive with the drain."""
    return max(DRAIN_SECONDS, math.ceil(_their_seconds(service, SYNC_TIMEOUT, 0)))


def _theirs(service: Resolved) -> tuple[EnvVar, ...]:
    template = service.spec.pod_template
    return (template.env if template else None) or ()


def _access(service: Resolved) -> dict[str, str]:
    auth = service.spec.auth
    if auth is None or auth.token_secret_ref is None:
        return {"OCR_AUTH_MODE": "None"}
    return {"OCR_AUTH_MODE": "Token", "OCR_KEYS_DIR": KEYS_PATH}


def _storage(service: Resolved) -> dict[str, str]:
    paths = {
        "OCR_OUTPUT_DIR": OUTPUT_PATH if service.spec.output else "",
        "OCR_CACHE_DIR": CACHE_PATH,
        "OCR_STARTUP_DIR": STARTUP_PATH,
        "HOME": TMP_PATH,
        "TMPDIR": TMP_PATH,
    }
    s3 = service.spec.s3
    if s3 is None:
        return paths
    return {
        **paths,
        "OCR_S3_ENDPOINT": s3.endpoint,
        "OCR_S3_BUCKET": s3.bucket,
        "OCR_S3_PREFIX": s3.prefix or "",
        "OCR_S3_REGION": s3.region or "",
        "OCR_S3_CREDENTIALS_DIR": S3_PATH if s3.credentials_secret_ref else "",
    }


def _limits(service: Resolved) -> dict[str, str]:
    limits = service.spec.limits
    if limits is None:
        return {}
    numbers = {
        "OCR_MAX_PAGES_SYNC": limits.max_pages_sync,
        "OCR_MAX_PAGES_ASYNC": limits.max_pages_async,
        "OCR_MAX_PIXELS": limits.max_pixels,
        "OCR_QUEUE_MAX_PAGES": limits.queue_max_pages,
    }
    given = {name: str(number) for name, number in numbers.items() if number is not None}
    return {"OCR_MAX_UPLOAD_BYTES": plain(limits.max_upload_bytes or ""), **given}


def _their_seconds(service: Resolved, name: str, default: float) -> float:
    """What the server will read; it refuses what is no number, so the pod never serves with it."""
    text = next((entry.value for entry in _theirs(service) if entry.name == name), None)
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if math.isfinite(value) and value >= 0 else default
