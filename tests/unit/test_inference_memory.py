"""When an engine child has outgrown its container."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocr_inference.engine import memory
from ocr_inference.engine.memory import MemoryBound, resident_bytes

STATUS = (
    "Name:\tpython\nVmRSS:\t 900 kB\nRssAnon:\t 500 kB\nRssFile:\t 300 kB\nRssShmem:\t 100 kB\n"
)


def test_memory_that_the_kernel_can_take_back_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text(STATUS)
    assert resident_bytes(7, tmp_path) == 600 * 1024
    assert resident_bytes(8, tmp_path) == 0
    assert resident_bytes(os.getpid()) > 1 << 20


def asked(
    bound: MemoryBound, monkeypatch: pytest.MonkeyPatch, *sizes: int, pid: int = 7
) -> list[bool]:
    answers = []
    for size in sizes:
        monkeypatch.setattr(memory, "resident_bytes", lambda _pid, size=size: size)
        answers.append(bound.exceeded(pid))
    return answers


def test_a_child_that_grew_beyond_its_share_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(MemoryBound(1000), monkeypatch, 500, 850, 851) == [False, False, True]
    assert asked(MemoryBound(None), monkeypatch, 500, 10**12) == [False, False]


def test_a_child_that_was_as_large_from_the_first_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = MemoryBound(1000)
    assert asked(bound, monkeypatch, 900, 950) == [False, False]
    assert asked(bound, monkeypatch, 800, 900, pid=8) == [False, True]
