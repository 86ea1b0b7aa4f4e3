"""The S3 sink where no bucket is needed to see it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

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


def test_a_bucket_gets_no_more_time_than_the_request_has(
    sink: S3Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LEAST_STORE_S", 0.1)
    monkeypatch.setattr(sink, "_put", lambda _key, _body: time.sleep(0.5))
    with pytest.raises(StoreFailed, match="did not answer"):
        asyncio.run(sink.store("id.json", b"{}", remaining=-1.0))
