"""Results of a server without S3, kept in its output folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ocr_server import OcrServer, picture, running_server, small_disk


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(tmp_path_factory.mktemp("server"), {"text": "kept"}) as server:
        yield server


def kept(server: OcrServer) -> set[Path]:
    return {path for path in server.home.rglob("*.json*") if "cache" not in path.parts}


def test_a_result_is_kept_under_an_id_of_ours_and_the_input_is_not(server: OcrServer) -> None:
    answer = server.read(picture(), name="../../evil\n.png").json()
    assert answer["warnings"] == []
    key = answer["output"]["key"]
    assert key.startswith("20") and key.endswith(f"/{answer['id']}.json")
    path = server.home / "output" / key
    document = json.loads(path.read_bytes())
    assert document["result"]["text"] == "kept"
    assert document["input"]["sha256"] == hashlib.sha256(picture()).hexdigest()
    assert "/" not in document["input"]["name"]
    assert kept(server) == {path}
    assert server.get("/health").json()["status"] == "ok"


def test_what_a_killed_server_left_is_removed_at_the_start(tmp_path: Path) -> None:
    left = tmp_path / "output" / ".parts" / "left.json"
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, (0, 0))
    with running_server(tmp_path, ready=False) as server:
        server.wait_for(lambda: not left.exists())


def test_keeping_can_be_declined(server: OcrServer) -> None:
    before = kept(server)
    assert "output" not in server.read(picture(), data={"save_to_s3": "false"}).json()
    assert kept(server) == before


def test_a_full_volume_costs_a_warning_and_not_the_answer(tmp_path: Path) -> None:
    prefix = small_disk(tmp_path / "output", "16k")
    script = {"text": "a long line\n" * 1000}
    with running_server(tmp_path, script, prefix=prefix) as server:
        answer = server.read(picture())
        assert answer.status_code == 200
        assert answer.json()["warnings"] == [
            {"code": "output_failed", "message": "The output folder is full."}
        ]
        assert "output" not in answer.json()
        assert "output_failed" in server.read(picture()).headers["X-OCR-Warnings"]
        failed = 'ocr_output_operations_total{op="write",result="failed"}'
        assert server.metric(failed) == 2


def test_a_read_only_volume_is_told_in_the_answer_and_in_health(tmp_path: Path) -> None:
    prefix = small_disk(tmp_path / "output", "1m", "ro")
    with running_server(tmp_path, prefix=prefix) as server:
        warning = server.read(picture()).json()["warnings"][0]
        assert warning == {"code": "output_failed", "message": "The output folder is read-only."}
        health = server.get("/health").json()
    assert (health["status"], health["writable"]["output_dir"]) == ("degraded", False)


def test_a_server_without_a_folder_keeps_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_output_dir="") as server:
        answer = server.read(picture()).json()
        assert "output" not in answer and answer["warnings"] == []
        health = server.get("/health").json()
    assert (health["status"], health["writable"]["output_dir"]) == ("ok", None)
