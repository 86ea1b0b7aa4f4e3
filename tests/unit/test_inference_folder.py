"""The folder sink: whole files or none, and a sentence for every way a volume fails."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ocr_inference.metrics import Metrics
from ocr_inference.sinks import base, folder
from ocr_inference.sinks.base import StoreFailed, result_key
from ocr_inference.sinks.folder import FolderSink

CREATED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def stored(sink: FolderSink, body: bytes = b"{}", remaining: float = 10.0) -> str:
    return asyncio.run(sink.store(result_key("id", CREATED), body, remaining)).key


def sink_in(path: Path) -> FolderSink:
    return FolderSink(path, Metrics("1", "scripted"))


def told(sink: FolderSink, remaining: float = 10.0) -> str:
    with pytest.raises(StoreFailed) as failed:
        stored(sink, remaining=remaining)
    return str(failed.value)


class Volume:
    """One that hangs until it is `back`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = 0
        self.back = threading.Event()
        monkeypatch.setattr(folder, "_write", self._write)

    def _write(self, *_: object) -> None:
        self.asked += 1
        self.back.wait(5)


def down_no_more(sink: FolderSink) -> None:
    """The time in which nobody asks it is over."""
    sink._place._down_until = time.monotonic()


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        with contextlib.suppress(StoreFailed):
            if condition():
                return
        time.sleep(0.01)
    raise AssertionError


def files(path: Path) -> list[str]:
    return [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()]


def test_a_result_has_the_key_it_would_have_in_a_bucket(tmp_path: Path) -> None:
    assert stored(sink_in(tmp_path), b'{"a": 1}') == "2026/03/01/id.json"
    assert (tmp_path / "2026/03/01/id.json").read_bytes() == b'{"a": 1}'
    assert files(tmp_path) == ["2026/03/01/id.json"]


def test_a_file_appears_whole_and_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fsync(_descriptor: int) -> None:
        seen.append(files(tmp_path))

    monkeypatch.setattr(os, "fsync", fsync)
    stored(sink_in(tmp_path))
    assert seen == [[".parts/id.json"], ["2026/03/01/id.json"]]  # the data, then the name


def test_what_killed_servers_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    stored(sink_in(tmp_path))
    for name, age in (("left.json", 90_000), ("written.json", 3600)):
        path = tmp_path / ".parts" / name
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    os.utime(tmp_path / "2026/03/01/id.json", (0, 0))
    sink_in(tmp_path).prepare()
    wait_until(lambda: files(tmp_path / ".parts") == ["written.json"])
    assert (tmp_path / "2026/03/01/id.json").exists()


def test_a_volume_without_leftovers_is_left_as_it_is(tmp_path: Path) -> None:
    folder._sweep(tmp_path)
    folder._sweep(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "The output folder is full."),
        (errno.EDQUOT, "The output folder is full."),
        (errno.EROFS, "The output folder is read-only."),
        (errno.EACCES, "The output folder may not be written to."),
        (errno.ESTALE, "The output folder did not take the result."),
    ],
)
def test_a_failed_write_says_why_without_a_path_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreFailed) as failed:
        stored(sink_in(tmp_path))
    assert str(failed.value) == sentence
    assert files(tmp_path) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="missing"):
        stored(sink_in(tmp_path / "volume"))
    assert not (tmp_path / "volume").exists()


def test_a_dead_volume_gets_no_more_time_than_the_request_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LEAST_STORE_S", 0.1)
    monkeypatch.setattr(folder, "_write", lambda *_: time.sleep(0.5))
    with pytest.raises(StoreFailed, match="did not answer"):
        stored(sink_in(tmp_path), remaining=-1.0)


def test_a_volume_that_hangs_collects_nothing_and_costs_one_request_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(monkeypatch)
    monkeypatch.setattr(base, "STORE_DEADLINE_S", 0.3)
    monkeypatch.setattr(base, "THREADS", 3)
    sink = sink_in(tmp_path)
    assert told(sink) == "The output folder did not answer in 0 s."
    began = time.monotonic()
    assert {told(sink) for _ in range(20)} == {"The output folder does not answer."}
    assert time.monotonic() - began < 0.2
    assert volume.asked == 1

    monkeypatch.setattr(base, "DOWN_S", 0.0)
    down_no_more(sink)
    for _ in range(3):
        told(sink)
    assert volume.asked == 3  # all of them hang, and one more is not begun
    volume.back.set()
    wait_until(lambda: stored(sink) == "2026/03/01/id.json")


def test_one_request_tries_a_volume_that_was_down_and_it_serves_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(monkeypatch)
    monkeypatch.setattr(base, "STORE_DEADLINE_S", 0.3)
    sink = sink_in(tmp_path)
    told(sink)
    down_no_more(sink)

    async def two() -> list[str | BaseException]:
        stores = (sink.store("id.json", b"{}", 9.0) for _ in range(2))
        answers = await asyncio.gather(*stores, return_exceptions=True)
        return [str(answer) for answer in answers]

    assert asyncio.run(two()) == [
        "The output folder did not answer in 0 s.",
        "The output folder does not answer.",
    ]
    volume.back.set()
    down_no_more(sink)
    assert [stored(sink), stored(sink)] == ["2026/03/01/id.json"] * 2


def test_a_request_in_a_hurry_does_not_declare_a_slow_volume_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Volume(monkeypatch)
    monkeypatch.setattr(base, "LEAST_STORE_S", 0.1)
    sink = sink_in(tmp_path)
    assert "did not answer" in told(sink, remaining=0.1)
    volume.back.set()
    assert stored(sink) == "2026/03/01/id.json"


def test_without_a_folder_nothing_is_configured() -> None:
    assert not FolderSink(None, Metrics("1", "scripted")).configured
