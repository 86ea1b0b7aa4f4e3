"""One S3 bucket and the calls on it. For threads; every call waits."""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from ocr_inference.s3 import Credentials, read_credentials, s3_client
from ocr_inference.settings import Settings
from ocr_inference.sinks.base import THREADS, Changed, StoreFailed

log = logging.getLogger("ocr_inference.s3")

_CONNECT_S, _READ_S = 3, 10
_CHUNK = 1024 * 1024

_CONFLICT, _FAILED = 409, 412
_MISSING = 404
_INVALID, _NOT_IMPLEMENTED = 400, 501
_UNKNOWN_HEADER = frozenset(("NotImplemented", "InvalidArgument", "InvalidRequest"))
"""What endpoints without conditional writes call the condition. Other errors with status 400 are of
the one request: a slow body, a wrong checksum."""


class Bucket:
    """Keys are below the settings' prefix. Every call raises `StoreFailed` without credentials and
    botocore's errors otherwise."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._clients: dict[str, tuple[Credentials, Any]] = {}
        self._connecting = Lock()
        self.conditional = True
        """Until the endpoint is known to have no conditional writes."""

    @property
    def name(self) -> str:
        return self.settings.s3_bucket

    @property
    def configured(self) -> bool:
        return self.settings.s3_configured

    @property
    def credentials_missing(self) -> bool:
        return self.configured and read_credentials(self.settings) is None

    def prepare(self) -> None:
        """Import boto3 now and not with the first request."""
        if self.configured:
            Thread(target=_import_boto3, daemon=True).start()

    def path(self, key: str) -> str:
        """The whole key of an object."""
        return self.settings.s3_prefix + key

    def put(
        self,
        key: str,
        body: bytes | Path,
        content_type: str = "application/json",
        *,
        absent: bool = False,
        match: str | None = None,
    ) -> str:
        """Write and return the ETag; only where nothing is there (`absent`) or what has this ETag
        (`match`): `Changed` otherwise. An endpoint without conditional writes writes always."""
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if absent else {"IfMatch": f'"{match}"'} if match else {}
        if condition and self.conditional:
            try:
                return self._put(key, body, content_type, condition)
            except ClientError as error:
                status = _status(error)
                if status == _FAILED or (match and status in (_CONFLICT, _MISSING)):
                    raise Changed(key) from error
                if not _refuses_conditions(error):
                    raise
        etag = self._put(key, body, content_type, {})
        if condition and self.conditional:
            log.info("this S3 endpoint has no conditional writes")
            self.conditional = False
        return etag

    def get(self, key: str) -> tuple[bytes, str] | None:
        """The object and its ETag; None when there is none."""
        answer = self._open(key)
        return None if answer is None else (answer["Body"].read(), _etag(answer))

    def download(self, key: str, path: Path) -> bool:
        """Whether the object was there and is at `path` now."""
        answer = self._open(key)
        if answer is None:
            return False
        with path.open("wb") as file:
            for chunk in answer["Body"].iter_chunks(_CHUNK):
                file.write(chunk)
        return True

    def link(self, path: str, seconds: int) -> str:
        """A URL for which the object with this whole key is answered to whoever has it, until so
        many seconds after it was made. It must be in no log and nowhere be kept."""
        client = self._connected(self.settings.s3_public_endpoint)
        return str(
            client.generate_presigned_url(
                "get_object", Params={"Bucket": self.name, "Key": path}, ExpiresIn=seconds
            )
        )

    def list(self, prefix: str, limit: int) -> dict[str, str]:
        """ETags by key, in the keys' order, of at most so many objects."""
        below = len(self.settings.s3_prefix)
        pages = self._connected().get_paginator("list_objects_v2")
        found = pages.paginate(
            Bucket=self.name, Prefix=self.path(prefix), PaginationConfig={"MaxItems": limit}
        )
        return {
            item["Key"][below:]: _etag(item) for page in found for item in page.get("Contents", ())
        }

    def delete(self, *keys: str) -> None:
        """Remove what is there of them."""
        client = self._connected()
        for key in keys:  # one by one: not every endpoint has the call for many
            client.delete_object(Bucket=self.name, Key=self.path(key))

    def _open(self, key: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            answer: dict[str, Any] = self._connected().get_object(
                Bucket=self.name, Key=self.path(key)
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        return answer

    def _put(
        self, key: str, body: bytes | Path, content_type: str, condition: dict[str, str]
    ) -> str:
        arguments = {
            "Bucket": self.name,
            "Key": self.path(key),
            "ContentType": content_type,
            # The one checksum that every S3-compatible endpoint checks.
            "ContentMD5": base64.b64encode(_md5(body)).decode(),
            **condition,
        }
        if isinstance(body, bytes):
            return _etag(self._connected().put_object(Body=body, **arguments))
        with body.open("rb") as file:
            return _etag(self._connected().put_object(Body=file, **arguments))

    def _connected(self, endpoint: str = "") -> Any:
        credentials = read_credentials(self.settings)
        if credentials is None:
            raise StoreFailed("The S3 credentials are missing.")
        with self._connecting:  # one is made, however many threads want it at the start
            known = self._clients.get(endpoint)
            if known is None or known[0] != credentials:
                client = s3_client(
                    self.settings,
                    credentials,
                    connect_s=_CONNECT_S,
                    read_s=_READ_S,
                    connections=4 * THREADS,  # results; documents, records and heartbeats of jobs
                    endpoint=endpoint,
                )
                known = self._clients[endpoint] = (credentials, client)
            return known[1]


def _import_boto3() -> None:
    import boto3  # noqa: F401


def _md5(body: bytes | Path) -> bytes:
    if isinstance(body, bytes):
        return hashlib.md5(body, usedforsecurity=False).digest()
    with body.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()


def _status(error: Any) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _refuses_conditions(error: Any) -> bool:
    status = _status(error)
    return status == _NOT_IMPLEMENTED or (
        status == _INVALID and error.response["Error"].get("Code") in _UNKNOWN_HEADER
    )


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')
