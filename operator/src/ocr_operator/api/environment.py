"""Which names of `contract/environment.v1.json` `podTemplate.env` may set, and which it may not."""

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
"""Made from a field of the spec or from what is mounted: another value would break the service."""

ALLOWED = (
    "OCR_SCRIPT",
    "OCR_SYNC_TIMEOUT_S",
    "OCR_LAME_DUCK_S",
    "OCR_DRAIN_TIMEOUT_S",
    "OCR_S3_ACCESS_KEY",
    "OCR_S3_SECRET_KEY",
)
"""Read by the server and made from no field of the spec: a person may set them."""
