"""Results in a real S3 server: versitygw over a folder."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ocr_server import OcrServer, picture, refusal, running_server
from s3_server import ACCESS, SECRET, Store, s3_server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3_server(tmp_path_factory.mktemp("s3"), "results") as store:
        yield store


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[OcrServer]:
    secret = tmp_path_factory.mktemp("secret")
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": "stored"},
        cloudru_s3_endpoint=store.endpoint,
        ocr_s3_bucket="results",
        ocr_s3_prefix="team/",
        ocr_s3_region="us-east-1",
        ocr_s3_credentials_dir=secret,
    ) as server:
        assert server.get("/health").json()["s3_storage"] == "credentials_missing"
        assert "s3_failed" in server.read(picture()).headers["X-OCR-Warnings"]
        (secret / "access-key").write_text(f"{ACCESS}\n")
        (secret / "secret-key").write_text(f"{SECRET}\n")
        yield server


def test_the_result_is_stored_under_an_id_of_ours_and_the_input_is_not(
    server: OcrServer, store: Store
) -> None:
    answer = server.read(picture(), name="../../evil\n.png").json()
    assert answer["warnings"] == []
    stored = answer["s3"]
    assert stored["bucket"] == "results"
    assert stored["key"].startswith("team/20") and stored["key"].endswith(f"/{answer['id']}.json")
    data = (store.folder / "results" / stored["key"]).read_bytes()
    document = json.loads(data)
    assert document["result"]["text"] == "stored"
    assert document["input"]["sha256"] == hashlib.sha256(picture()).hexdigest()
    assert document["input"]["bytes"] == len(picture())
    assert "/" not in document["input"]["name"]
    # The folder is for a server without S3.
    assert "output" not in answer
    assert list((server.home / "output").iterdir()) == []
    assert stored["etag"] == hashlib.md5(data).hexdigest()  # noqa: S324
    assert server.get("/health").json()["s3_storage"] == "configured"


def test_storing_can_be_declined(server: OcrServer) -> None:
    assert "s3" not in server.read(picture(), data={"save_to_s3": "false"}).json()


def test_without_the_bucket_ocr_still_answers_unless_it_is_required(
    server: OcrServer, store: Store
) -> None:
    store.stop()
    answer = server.read(picture())
    assert answer.status_code == 200
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["s3_failed"]
    assert "s3" not in answer.json()
    required = server.read(picture(), data={"save_to_s3": "required"})
    assert refusal(required) == (502, "s3_failed")
    assert server.metric('ocr_s3_operations_total{op="put",result="failed"}') >= 2
    # botocore's own sentence has the object's URL.
    assert "put failed: EndpointConnectionError" in server.log
    assert "team/" not in server.log and store.endpoint not in server.log


def test_a_document_counts_until_it_is_stored(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_server(
            tmp_path,
            ocr_s3_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}",
            ocr_s3_bucket="results",
            ocr_s3_access_key=ACCESS,
            ocr_s3_secret_key=SECRET,
        ) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        request = pool.submit(server.read, picture(), data={"timeout_s": "2"})
        server.wait_for(lambda: server.metric("ocr_pages_total") == 1)
        time.sleep(0.5)
        assert not request.done()
        assert server.metric("ocr_queue_pages") == 1
        assert request.result().json()["warnings"][0]["code"] == "s3_failed"
        assert server.metric("ocr_queue_pages") == 0
