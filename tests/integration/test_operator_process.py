"""The operator as a process, against a server that misbehaves: when it waits and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fake_api import FakeApi, Watching, failure, fake_api, path, serve_the_kinds
from kubeapi import wait_for
from operator_process import OperatorProcess, starting

GROUP = "/apis/ocr-operator.dev/v1alpha1"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api() as fake:
        yield fake


@pytest.fixture
def kubeconfig(fake: FakeApi, tmp_path: Path) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "clusters": [{"name": "fake", "cluster": {"server": fake.url}}],
        "users": [{"name": "fake", "user": {"token": "t"}}],
    }
    made = tmp_path / "fake.conf"
    made.write_text(yaml.safe_dump(config))
    return made


@pytest.fixture
def process(fake: FakeApi, kubeconfig: Path, tmp_path: Path) -> Iterator[OperatorProcess]:
    serve_the_kinds(fake)
    with starting(kubeconfig, tmp_path) as process:
        yield process


def test_it_is_ready_when_all_is_listed_and_ends_at_once(process: OperatorProcess) -> None:
    wait_for("it to be ready", process.ready, 30)
    assert process.get("/healthz") == 200
    assert process.terminate() == 0
    assert {line["level"] for line in process.logs()} == {"INFO"}


def test_it_sends_its_token(fake: FakeApi, process: OperatorProcess) -> None:
    wait_for("it to be ready", process.ready, 30)
    assert {asked.headers.get("Authorization") for asked in fake.asked} == {"Bearer t"}
    assert {asked.headers["User-Agent"] for asked in fake.asked} == {"ocr-operator"}


def test_a_watch_that_fails_ends_the_process_and_leaves_nothing_hanging(
    fake: FakeApi, process: OperatorProcess
) -> None:
    """kopf by itself would hang: its other watches wait for a login that never comes."""
    broken = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "message": "broken"}}
    fake.watch(path("pods"), Watching((broken,)))
    assert process.process.wait(30) == 1
    last = process.logs()[-1]
    assert last["level"] == "CRITICAL"
    assert "broken" in last["exception"]


def test_a_watch_that_is_forbidden_keeps_it_unready(
    fake: FakeApi, process: OperatorProcess
) -> None:
    fake.script(path("services"), failure(403, "services is forbidden"))
    wait_for("the complaint", lambda: process.said("services is forbidden"), 30)
    assert process.get("/readyz") == 503
    assert "services in all namespaces" in process.page("/readyz")
    assert process.get("/healthz") == 200
    assert process.terminate() == 0


def test_without_the_crds_it_waits_and_says_so(
    fake: FakeApi, kubeconfig: Path, tmp_path: Path
) -> None:
    fake.script(GROUP, failure(404, "not found"))
    serve_the_kinds(fake)
    with starting(kubeconfig, tmp_path) as process:
        wait_for("the complaint", lambda: process.said("they are not installed"), 30)
        assert process.get("/readyz") == 503
        assert process.get("/healthz") == 200
        # The first answer is used up: the next time they are there.
        wait_for("it to be ready", process.ready, 30)
        assert process.terminate() == 0
