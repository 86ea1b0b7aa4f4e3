"""Clients of S3 endpoints. `boto3` is imported with the first, so that no start waits for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_inference.settings import Settings

_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str


def read_credentials(settings: Settings) -> Credentials | None:
    """Those of the mounted Secret, or of the settings. Read every time: a rotated Secret is to work
    without a restart."""
    directory = settings.s3_credentials_dir
    access = _read(directory / "access-key") or settings.s3_access_key.get_secret_value()
    secret = _read(directory / "secret-key") or settings.s3_secret_key.get_secret_value()
    return Credentials(access, secret) if access and secret else None


def s3_client(
    settings: Settings,
    credentials: Credentials | None,
    *,
    connect_s: float,
    read_s: float,
    connections: int = 10,
    endpoint: str = "",
) -> Any:
    """boto3's client, of another `endpoint` than the settings' where one is given. Without
    `credentials` it takes those that it finds by itself, an instance's role for one; without any
    endpoint it asks AWS."""
    import boto3
    from botocore.config import Config

    own = endpoint or settings.s3_endpoint
    return boto3.session.Session().client(
        "s3",
        endpoint_url=own or None,
        region_name=settings.s3_region if own or settings.s3_region != "auto" else None,
        aws_access_key_id=credentials and credentials.access_key,
        aws_secret_access_key=credentials and credentials.secret_key,
        config=Config(
            signature_version="s3v4",
            connect_timeout=connect_s,
            read_timeout=read_s,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=connections,
            # Host-style needs a wildcard name, which few self-hosted endpoints have.
            s3={"addressing_style": "path" if own else "auto"},
            # boto3's newer checksum trailers are refused by endpoints that are not AWS.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):  # not there, or not text: a Secret can hold anything
        return ""
