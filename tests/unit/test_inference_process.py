"""What the process does around requests: folder, log, drain, script of the test hook."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ocr_inference import logs
from ocr_inference.lifecycle import Lifecycle, Stage
from ocr_inference.logs import JsonFormatter
from ocr_inference.scripted_http import split_script
from ocr_inference.settings import Settings, settings_sentence
from ocr_inference.workspace import Workspace


def test_files_of_a_workspace_go_with_their_use_and_the_rest_with_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.file(".upload") as path:
        path.write_bytes(b"x")
    assert not path.exists()
    workspace.new_path(".bgr").write_bytes(b"x")
    workspace.close()
    assert list(tmp_path.iterdir()) == []


def test_a_new_workspace_sweeps_the_dead_and_spares_the_living(tmp_path: Path) -> None:
    dead = tmp_path / "ocr-inference-dead"
    dead.mkdir()
    (dead / "lock").touch()
    (dead / "page.bgr").touch()
    foreign = tmp_path / "ocr-inference-no-lock"
    foreign.mkdir()
    living = Workspace(tmp_path)
    second = Workspace(tmp_path)
    assert not dead.exists()
    assert foreign.exists() and living.path.exists()
    second.close()
    living.close()


def record(message: str, *arguments: object, **options: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "test", "levelname": "INFO", "msg": message, "args": arguments, **options}
    )


def test_a_log_line_is_one_json_object() -> None:
    token = logs.request_id.set("abc")
    try:
        line = json.loads(JsonFormatter().format(record("a %s\n\u2028", "b", status=200)))
    finally:
        logs.request_id.reset(token)
    assert line["message"] == "a b\n\u2028"
    assert (line["request_id"], line["status"], line["level"]) == ("abc", 200, "info")


def test_an_exception_stays_in_its_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        text = JsonFormatter().format(record("failed", exc_info=sys.exc_info()))
    assert "\n" not in text
    assert json.loads(text)["exception"].endswith("ValueError")


def test_a_drain_waits_for_what_is_in_flight_and_no_longer_than_its_timeout() -> None:
    async def scenario() -> tuple[bool, Stage, bool]:
        lifecycle = Lifecycle(lame_duck=0.0, drain_timeout=5.0)
        with lifecycle.request():
            drain = asyncio.create_task(lifecycle.drain(patient=True))
            await asyncio.sleep(0.01)
            waited = not drain.done()
        await drain
        impatient = Lifecycle(lame_duck=60.0, drain_timeout=0.0)
        with impatient.request():
            await impatient.drain(patient=False)
        return waited, lifecycle.stage, impatient.in_flight == 0

    assert asyncio.run(scenario()) == (True, Stage.DRAINING, True)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [({}, 120), ({"sync_timeout_s": 30}, 120), ({"sync_timeout_s": 300}, 300)],
)
def test_a_drain_has_the_time_that_any_request_has(given: dict[str, float], seconds: float) -> None:
    assert Settings(**given).drain_timeout_s == seconds
    assert Settings(**given, drain_timeout_s=5).drain_timeout_s == 5


def test_a_wrong_setting_is_the_only_one_named() -> None:
    with pytest.raises(ValidationError) as wrong:
        Settings(sync_timeout_s=0)
    assert settings_sentence(wrong.value) == ("OCR_SYNC_TIMEOUT_S: Input should be greater than 0")


@pytest.mark.parametrize(
    ("model", "script", "expected"),
    [
        ("scripted", '{"text": "a", "http": {"block_after_seconds": 2}}', ('{"text": "a"}', 2.0)),
        ("scripted", '{"text": "a"}', ('{"text": "a"}', None)),
        ("scripted", "broken", ("broken", None)),
        ("scripted", "[1]", ("[1]", None)),
        ("pp-ocr", '{"http": {}}', ('{"http": {}}', None)),
    ],
)
def test_only_the_scripted_model_can_hang_the_http_process(
    model: str, script: str, expected: tuple[str, float | None]
) -> None:
    assert split_script(Settings(model=model, script=script)) == expected
