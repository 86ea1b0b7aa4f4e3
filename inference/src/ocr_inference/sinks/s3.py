"""Results in an S3 bucket: one JSON object a request, under a key of our own. Never the input."""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from ocr_inference.metrics import Metrics
from ocr_inference.settings import Settings
from ocr_inference.sinks.base import THREADS, Place, StoreFailed, result_key

log = logging.getLogger("ocr_inference.s3")

_CONNECT_S, _READ_S, _ATTEMPTS = 3, 10, 3

_EXISTS = 412
_NO_CONDITIONAL_WRITES = frozenset((400, 501))


@dataclass(frozen=True, slots=True)
class StoredObject:
    bucket: str
    key: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class _Credentials:
    access_key: str
    secret_key: str


class S3Sink:
    """boto3 is imported in a thread, so that neither the start nor the loop waits."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._place = Place("S3", metrics.s3_operations, "put")
        self._client: tuple[_Credentials, Any] | None = None
        self._conditional = True

    @property
    def configured(self) -> bool:
        return self._settings.s3_configured

    @property
    def credentials_missing(self) -> bool:
        return self.configured and self._credentials() is None

    def prepare(self) -> None:
        """Import boto3 now and not with the first request."""
        if self.configured:
            Thread(target=_import_boto3, daemon=True).start()

    async def store(
        self, identifier: str, created: datetime, body: bytes, remaining: float
    ) -> StoredObject:
        """`remaining` are the seconds until the request's own deadline. Raises `StoreFailed`."""
        key = self._settings.s3_prefix + result_key(identifier, created)
        try:
            etag = await self._place.ask(partial(self._put, key, body), remaining)
        except StoreFailed:
            raise
        except Exception as error:
            log.warning("put failed: %s", error)
            raise StoreFailed("S3 did not take the result.") from error
        return StoredObject(self._settings.s3_bucket, key, etag)

    def _put(self, key: str, body: bytes) -> str | None:
        from botocore.exceptions import ClientError

        arguments: dict[str, Any] = {
            "Bucket": self._settings.s3_bucket,
            "Key": key,
            "Body": body,
            "ContentType": "application/json",
            # The one checksum that every S3-compatible endpoint checks.
            "ContentMD5": base64.b64encode(_md5(body).digest()).decode(),
        }
        client = self._connected()
        if self._conditional:
            try:
                return _etag(client.put_object(**arguments, IfNoneMatch="*"))
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == _EXISTS:
                    # The key is ours alone: an earlier attempt arrived and its answer was lost.
                    return str(_md5(body).hexdigest())
                if status not in _NO_CONDITIONAL_WRITES:
                    raise
        answer = client.put_object(**arguments)
        if self._conditional:
            log.info("this S3 endpoint has no conditional writes")
            self._conditional = False
        return _etag(answer)

    def _connected(self) -> Any:
        credentials = self._credentials()
        if credentials is None:
            raise StoreFailed("The S3 credentials are missing.")
        if self._client is None or self._client[0] != credentials:
            self._client = (credentials, _connect(self._settings, credentials))
        return self._client[1]

    def _credentials(self) -> _Credentials | None:
        settings = self._settings
        # Read every time: a rotated Secret is to work without a restart.
        directory = settings.s3_credentials_dir
        access = _read(directory / "access-key") or settings.s3_access_key.get_secret_value()
        secret = _read(directory / "secret-key") or settings.s3_secret_key.get_secret_value()
        return _Credentials(access, secret) if access and secret else None


def _import_boto3() -> None:
    import boto3  # noqa: F401


def _connect(settings: Settings, credentials: _Credentials) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            max_pool_connections=THREADS,
            # Host-style needs a wildcard name, which few self-hosted endpoints have.
            s3={"addressing_style": "path"},
            # boto3's newer checksum trailers are refused by endpoints that are not AWS.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _md5(body: bytes) -> Any:
    return hashlib.md5(body, usedforsecurity=False)


def _etag(answer: dict[str, Any]) -> str | None:
    etag = answer.get("ETag")
    return etag.strip('"') if isinstance(etag, str) else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):  # not there, or not text: a Secret can hold anything
        return ""
