"""The S3 sink where no bucket is needed to see it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ocr_inference.metrics import Metrics
from ocr_inference.settings import Settings
from ocr_inference.sinks import base
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sinks.bucket import Bucket
from ocr_inference.sinks.s3 import S3Sink


@pytest.fixture
def sink(tmp_path: Path) -> S3Sink:
    settings = Settings(
        s3_endpoint="http://127.0.0.1:9", s3_bucket="b", s3_credentials_dir=tmp_path
    )
    return S3Sink(Bucket(settings), Metrics("1", "scripted"))


def test_a_secret_that_is_no_text_is_missing(sink: S3Sink, tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("secret")
    (tmp_path / "access-key").write_bytes(b"\xff\xfe\x00")
    assert sink.credentials_missing
    (tmp_path / "access-key").write_text("access")
    assert not sink.credentials_missing


class Refusing(Bucket):
    """An endpoint that answers conditional writes with an error."""

    def __init__(self, settings: Settings, status: int, code: str) -> None:
        super().__init__(settings)
        self.written: list[str] = []
        self._error = ClientError(
            {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
            "PutObject",
        )

    def _put(self, key: str, *others: Any) -> str:
        *_, condition = others
        if condition:
            raise self._error
        self.written.append(key)
        return "etag"


@pytest.mark.parametrize(
    ("status", "code"),
    [(501, "NotImplemented"), (501, ""), (400, "InvalidArgument"), (400, "InvalidRequest")],
)
def test_an_endpoint_without_conditional_writes_is_written_to_without(
    status: int, code: str
) -> None:
    bucket = Refusing(Settings(), status, code)
    assert bucket.put("key", b"{}", absent=True) == "etag"
    assert (bucket.written, bucket.conditional) == (["key"], False)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "RequestTimeout"), (400, "IncompleteBody"), (400, "BadDigest"), (503, "SlowDown")],
)
def test_a_write_that_failed_says_nothing_of_conditional_ones(status: int, code: str) -> None:
    bucket = Refusing(Settings(), status, code)
    with pytest.raises(ClientError):
        bucket.put("key", b"{}", absent=True)
    assert (bucket.written, bucket.conditional) == ([], True)


def test_a_failure_is_logged_with_its_kind_and_code_and_no_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "access-key").write_text("access")
    (tmp_path / "secret-key").write_text("secret")
    settings = Settings(
        s3_endpoint="http://127.0.0.1:9/behind-proxy",
        s3_bucket="the-bucket",
        s3_credentials_dir=tmp_path,
    )
    unreachable = Bucket(settings)
    refusing = Refusing(settings, 403, "AccessDenied")
    for bucket in (unreachable, refusing):
        with pytest.raises(StoreFailed):
            asyncio.run(
                S3Sink(bucket, Metrics("1", "scripted")).store("of-a-client/id.json", b"{}", 9.0)
            )
    told = [record.getMessage() for record in caplog.records if record.name == base.log.name]
    assert told == [
        "put failed: EndpointConnectionError",
        "put failed: ClientError: AccessDenied",
    ]
    for secret in ("of-a-client", "behind-proxy", "the-bucket"):
        assert secret not in caplog.text


def test_a_bucket_gets_no_more_time_than_the_request_has(
    sink: S3Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LEAST_STORE_S", 0.1)
    monkeypatch.setattr(sink, "_put", lambda _key, _body: time.sleep(0.5))
    with pytest.raises(StoreFailed, match="did not answer"):
        asyncio.run(sink.store("id.json", b"{}", remaining=-1.0))
