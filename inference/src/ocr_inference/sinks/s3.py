"""Results in an S3 bucket: one JSON object a request, under a key of our own. Never the input."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from ocr_inference.metrics import Metrics
from ocr_inference.sinks.base import Changed, Place, result_key
from ocr_inference.sinks.bucket import Bucket


@dataclass(frozen=True, slots=True)
class StoredObject:
    bucket: str
    key: str
    etag: str | None


class S3Sink:
    def __init__(self, bucket: Bucket, metrics: Metrics) -> None:
        self._bucket = bucket
        self._place = Place("S3", metrics.s3_operations, "put", _sentence)

    @property
    def configured(self) -> bool:
        return self._bucket.configured

    @property
    def credentials_missing(self) -> bool:
        return self._bucket.credentials_missing

    def prepare(self) -> None:
        """Begin what the first request would wait for."""
        self._bucket.prepare()

    async def store(
        self, identifier: str, created: datetime, body: bytes, remaining: float
    ) -> StoredObject:
        """`remaining` are the seconds until the request's own deadline. Raises `StoreFailed`."""
        key = result_key(identifier, created)
        etag = await self._place.ask(partial(self._put, key, body), remaining)
        return StoredObject(self._bucket.name, self._bucket.path(key), etag or None)

    def _put(self, key: str, body: bytes) -> str:
        try:
            return self._bucket.put(key, body, absent=True)
        except Changed:
            # The key is ours alone: an earlier attempt arrived and its answer was lost.
            return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _sentence(_error: Exception) -> str:
    return "S3 did not take the result."
