"""Log lines: whose request they belong to, and what they never hold."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocr_inference import logs
from ocr_inference.engine.child import answer
from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.queue import PageWork

SECRET = "what the document says"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    root.addHandler(handler)
    token = logs.request_id.set(None)
    yield stream
    logs.request_id.reset(token)
    root.removeHandler(handler)


def line(log: io.StringIO) -> dict[str, Any]:
    return dict(json.loads(log.getvalue().splitlines()[-1]))


def test_an_exception_is_told_by_kind_and_place(log: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("test").exception("it failed")
    assert line(log)["exception"].endswith("ValueError")
    assert Path(__file__).name in line(log)["exception"]
    assert SECRET not in log.getvalue()


def test_what_is_behind_an_exception_is_told_too(log: io.StringIO) -> None:
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise ExceptionGroup(SECRET, [error, OSError(SECRET)]) from error
    except ExceptionGroup:
        logging.getLogger("test").exception("it failed")
    told = line(log)["exception"].splitlines()
    assert [entry for entry in told if not entry.startswith(" ")] == [
        *("ExceptionGroup", "because of", "KeyError", "because of", "OSError")
    ]
    assert SECRET not in log.getvalue()


def test_libraries_are_heard_from_warning_on() -> None:
    root = logging.getLogger()
    before, own = root.handlers[:], logging.getLogger("ocr_inference")
    stream = io.StringIO()
    try:
        logs.configure(stream)
        for name in ("httpx2", "httpcore", "aiohttp.access", "botocore", "uvicorn.access"):
            logging.getLogger(name).info("GET https://user:key@a.test/v1")
        own.getChild("test").info("ours")
        logging.getLogger("library").warning("theirs")
    finally:
        root.handlers[:] = before
        root.setLevel(logging.WARNING)
        own.setLevel(logging.NOTSET)
    told = [json.loads(entry)["message"] for entry in stream.getvalue().splitlines()]
    assert told == ["ours", "theirs"]


def test_an_error_of_the_system_says_which_and_names_no_file(log: io.StringIO) -> None:
    path = Path("/nonexistent") / SECRET
    try:
        path.read_bytes()
    except OSError:
        logging.getLogger("test").exception("it failed")
    assert line(log)["exception"].endswith("FileNotFoundError: No such file or directory")
    assert SECRET not in log.getvalue()


def test_a_childs_lines_have_the_request_of_its_call(log: io.StringIO) -> None:
    def fail(_call: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(SECRET)

    answer({"read": fail}, {"id": 1, "op": "read", "request_id": "mine"})
    assert line(log)["request_id"] == "mine"
    answer({"read": fail}, {"id": 2, "op": "read", "request_id": None})
    assert "request_id" not in line(log)
    assert SECRET not in log.getvalue()


def test_a_page_that_fails_in_the_queue_is_logged_for_its_request(
    log: io.StringIO, tmp_path: Path
) -> None:
    class Broken:
        async def render(self, *_: Any) -> None:
            raise ValueError(SECRET)

        def given_up(self, _: Path) -> None:
            return None

    async def fail() -> None:
        parts: list[Any] = [
            SimpleNamespace(new_path=lambda suffix: tmp_path / f"page{suffix}"),
            Broken(),
            SimpleNamespace(size=1, on_grown=None),
            None,
        ]
        dispatcher = Dispatcher(*parts, Metrics("0", "scripted"))
        running = asyncio.create_task(dispatcher.run())
        logs.request_id.set("mine")
        works = [work(tmp_path) for _ in range(2)]
        for one in works:
            dispatcher.put(one)
        for one in works:
            with pytest.raises(PublicError):
                await one.outcome
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(fail())
    assert line(log)["message"] == "page failed"
    assert line(log)["request_id"] == "mine"
    assert SECRET not in log.getvalue()


def work(path: Path) -> PageWork:
    now = time.monotonic()
    outcome = cast("Any", asyncio.get_running_loop().create_future())
    return PageWork("alice", "request", path, 1, 200, (), now, now + 60, outcome)
