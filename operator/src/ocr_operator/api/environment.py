"""Names of `contract/environment.v1.json` that `podTemplate.env` may not set, because the operator does."""

from __future__ import annotations

RESERVED = (
    "OCR_HOST",
    "OCR_PORT",
    "OCR_MODEL",
    "OCR_MODEL_VERSION",
    "OCR_BACKEND",
    "OCR_LANGUAGES",
    "OCR_DEVICE",
    "OCR_AUTH_MODE",
    "OCR_KEYS_DIR",
    "OCR_S3_ENDPOINT",
    "OCR_S3_BUCKET",
    "OCR_S3_PREFIX",
    "OCR_S3_REGION",
    "OCR_S3_CREDENTIALS_DIR",
    "OCR_OUTPUT_DIR",
    "OCR_CACHE_DIR",
    "OCR_STARTUP_DIR",
    "OCR_MAX_UPLOAD_BYTES",
    "OCR_MAX_PAGES_SYNC",
    "OCR_MAX_PAGES_ASYNC",
    "OCR_MAX_PIXELS",
    "OCR_QUEUE_MAX_PAGES",
    "OCR_HEARTBEAT_DEADLINE_S",
    "HOME",
    "TMPDIR",
)
"""Set from a field of the spec or from what the container mounts: another value breaks the service."""

ALLOWED = (
    "OCR_SCRIPT",
    "OCR_SYNC_TIMEOUT_S",
    "OCR_LAME_DUCK_S",
    "OCR_DRAIN_TIMEOUT_S",
    "OCR_S3_ACCESS_KEY",
    "OCR_S3_SECRET_KEY",
)
"""Read by the server and never set by the operator, or only as a default that a person may replace."""
