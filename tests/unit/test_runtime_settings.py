"""The settings and the logs."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ocr_operator.runtime.logs import JsonFormatter
from ocr_operator.settings import Settings


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in {"namespace": "ocr-system", **environment}.items():
        monkeypatch.setenv(f"OCR_OPERATOR_{name.upper()}", value)
    return Settings()


def test_only_the_namespace_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch)
    assert (made.watch_namespaces, made.watched) == ((), ())
    assert made.serves("anything")


@pytest.mark.usefixtures("monkeypatch")
def test_without_a_namespace_it_says_which_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OCR_OPERATOR_NAMESPACE", raising=False)
    with pytest.raises(ValidationError, match="namespace"):
        Settings()


def test_the_own_namespace_is_watched_but_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch, watch_namespaces="team-a, team-b,,team-a")
    assert made.watch_namespaces == ("team-a", "team-b")
    assert made.watched == ("team-a", "team-b", "ocr-system")
    assert made.serves("team-a")
    assert not made.serves("ocr-system")


def test_the_own_namespace_is_watched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch, watch_namespaces="ocr-system,team-a")
    assert made.watched == ("ocr-system", "team-a")
    assert made.serves("ocr-system")


def test_an_empty_path_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(monkeypatch, catalogue_extra="", kubeconfig="/tmp/config")
    assert made.catalogue_extra is None
    assert made.kubeconfig == Path("/tmp/config")


def test_the_kubeconfig_of_a_person_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/somebody/.kube/config")
    assert settings(monkeypatch).kubeconfig is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("workers", "0"), ("http_port", "70000"), ("image_pull_policy", "Sometimes")],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        settings(monkeypatch, **{name: value})


def test_a_log_line_is_one_json_object_with_its_extras() -> None:
    record = logging.makeLogRecord(
        {"name": "a", "levelname": "INFO", "msg": "%s\napplied", "args": ("x",), "key": "n/s"}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    read = json.loads(line)
    assert read.pop("time").endswith("+00:00")
    assert read == {"level": "INFO", "logger": "a", "message": "x\napplied", "key": "n/s"}


def test_a_traceback_stays_in_its_line() -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        record = logging.makeLogRecord({"msg": "failed", "exc_info": sys.exc_info()})
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "RuntimeError: broken" in json.loads(line)["exception"]
