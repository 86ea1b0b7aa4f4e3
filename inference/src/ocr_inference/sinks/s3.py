"""Results in an S3 bucket: one JSON object a request, under a key of our own, and links to them.
Never the input."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from ocr_inference import logs
from ocr_inference.metrics import Metrics
from ocr_inference.sinks.base import Changed, Place, StoreFailed
from ocr_inference.sinks.bucket import Bucket

log = logging.getLogger("ocr_inference.s3")


@dataclass(frozen=True, slots=True)
class StoredObject:
    bucket: str
    key: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class Link:
    """Whoever has the URL needs no key: it is for one answer, and for no log and no store."""

    url: str = field(repr=False)
    expires_at: str


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

    @property
    def longest_link_s(self) -> int:
        """0: no links are given."""
        return self._bucket.settings.s3_presign_max_s

    @property
    def allowed_prefixes(self) -> tuple[str, ...]:
        """Those below which a request may have its result kept."""
        return self._bucket.settings.s3_allowed_prefixes

    async def store(self, key: str, body: bytes, remaining: float) -> StoredObject:
        """`remaining` are the seconds until the request's own deadline. Raises `StoreFailed`."""
        etag = await self._place.ask(partial(self._put, key, body), remaining)
        return StoredObject(self._bucket.name, self._bucket.path(key), etag or None)

    async def link(self, path: str, seconds: int) -> Link:
        """To the object with this whole key, for so many seconds. Raises `StoreFailed`."""
        # S3 counts from the whole second in which the link was made.
        until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        try:
            url = await asyncio.to_thread(self._bucket.link, path, seconds)
        except StoreFailed:
            raise
        except Exception as error:
            log.warning("presign failed: %s", logs.kind(error))
            raise StoreFailed("S3 gives no link.") from error
        return Link(url, until.isoformat())

    def _put(self, key: str, body: bytes) -> str:
        try:
            return self._bucket.put(key, body, absent=True)
        except Changed:
            # The key is ours alone: an earlier attempt arrived and its answer was lost.
            return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _sentence(_error: Exception) -> str:
    return "S3 did not take the result."
