"""Volumes of the server's pod: every writable path, and what comes from Secrets and ConfigMaps."""

from __future__ import annotations

from typing import Any

from ocr_operator.api.v1alpha1 import VolumeSpec
from ocr_operator.core.resolve import Resolved

# A mount point in the container, not a file of this process.
TMP_PATH = "/tmp"  # noqa: S108
CACHE_PATH = "/app/cache"
OUTPUT_PATH = "/app/output"
KEYS_PATH = "/etc/ocr/keys"
S3_PATH = "/etc/ocr/s3"
STARTUP_PATH = "/etc/ocr/startup"

TMP_LIMIT = "4Gi"
"""Uploads and rendered pages in work."""
CACHE_LIMIT = "8Gi"
"""Weights and compiled kernels of the largest model."""
SECRET_MODE = 0o440
"""Owner and group, and the group is the pod's fsGroup."""


def volumes(service: Resolved) -> list[dict[str, Any]]:
    """By name. Secrets are optional: the server says which is missing, and a missing one must not
    keep a pod in ContainerCreating with an event as the only hint."""
    spec, name = service.spec, service.key.name
    found = [
        {"name": "tmp", "emptyDir": {"sizeLimit": TMP_LIMIT}},
        {"name": "cache", **(_claim(spec.cache) or {"emptyDir": {"sizeLimit": CACHE_LIMIT}})},
        {"name": "startup", "configMap": {"name": f"{name}-startup", "optional": True}},
    ]
    if output := _claim(spec.output):
        found.append({"name": "output", **output})
    if spec.auth is not None and spec.auth.token_secret_ref is not None:
        found.append(_secret("keys", spec.auth.token_secret_ref.name))
    if spec.s3 is not None and spec.s3.credentials_secret_ref is not None:
        found.append(_secret("s3", spec.s3.credentials_secret_ref.name))
    return found


def mounts(service: Resolved) -> list[dict[str, Any]]:
    """One for each volume. Directories, no subPath: a changed Secret or ConfigMap arrives in the
    running pod."""
    paths = {
        "tmp": TMP_PATH,
        "cache": CACHE_PATH,
        "output": OUTPUT_PATH,
        "startup": STARTUP_PATH,
        "keys": KEYS_PATH,
        "s3": S3_PATH,
    }
    read_only = {"startup", "keys", "s3"}
    found = []
    for volume in volumes(service):
        name = volume["name"]
        mount = {"name": name, "mountPath": paths[name]}
        found.append({**mount, "readOnly": True} if name in read_only else mount)
    return found


def _claim(wanted: VolumeSpec | None) -> dict[str, Any]:
    if wanted is None:
        return {}
    claim = wanted.persistent_volume_claim.claim_name
    return {"persistentVolumeClaim": {"claimName": claim}}


def _secret(volume: str, name: str) -> dict[str, Any]:
    secret = {"secretName": name, "optional": True, "defaultMode": SECRET_MODE}
    return {"name": volume, "secret": secret}
