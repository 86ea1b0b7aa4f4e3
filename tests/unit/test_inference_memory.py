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


ENGINE, OTHER, DECODER = 7, 8, 9


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Of the processes, by their ID."""
    sizes = {os.getpid(): 50, ENGINE: 400, OTHER: 0, DECODER: 50}
    monkeypatch.setattr(memory, "resident_bytes", sizes.__getitem__)
    return sizes


def bound_of(limit: int | None) -> MemoryBound:
    return MemoryBound(limit, lambda: (ENGINE, OTHER, DECODER), lambda: (ENGINE, OTHER))


def test_all_processes_of_the_server_count(sizes: dict[int, int]) -> None:
    bound = bound_of(1000)
    bound.loaded(ENGINE, 1.0, 0.0)
    sizes[ENGINE] = 750
    assert not bound.exceeded(100.0)
    sizes[DECODER] = 51
    assert bound.exceeded(100.0)


def test_the_largest_engine_is_the_one_to_go(sizes: dict[int, int]) -> None:
    bound = bound_of(1000)
    bound.loaded(ENGINE, 1.0, 0.0)
    sizes[OTHER] = 600
    assert not bound.exceeded(100.0)
    sizes[ENGINE] = 601
    assert bound.exceeded(100.0)


def test_without_a_limit_nothing_is_too_large(sizes: dict[int, int]) -> None:
    bound = bound_of(None)
    bound.loaded(ENGINE, 1.0, 0.0)
    sizes[ENGINE] = 10**15
    assert not bound.exceeded(100.0)


@pytest.mark.parametrize(("load", "service"), [(0.5, 60), (6, 60), (30, 300)])
def test_a_child_is_kept_until_it_has_served_for_what_its_load_took(
    sizes: dict[int, int], load: float, service: float, caplog: pytest.LogCaptureFixture
) -> None:
    bound = bound_of(1000)
    for ready in (0.0, 5000.0):  # of one child, and of its replacement
        sizes[ENGINE] = 400
        bound.loaded(ENGINE, load, ready)
        assert not bound.exceeded(ready + 1)
        sizes[ENGINE] = 800
        assert not bound.exceeded(ready + 1)
        assert not bound.exceeded(ready + service - 1)
        assert bound.exceeded(ready + service)
    assert len(caplog.records) == 1


def test_one_large_page_does_not_excuse_a_later_leak(sizes: dict[int, int]) -> None:
    bound = bound_of(1000)
    bound.loaded(ENGINE, 1.0, 0.0)
    sizes[ENGINE] = 900
    assert not bound.exceeded(1.0)
    sizes[ENGINE] = 400
    assert not bound.exceeded(2.0)
    sizes[ENGINE] = 900
    assert bound.exceeded(1000.0)


def test_a_model_that_is_too_large_before_its_first_page_is_kept(sizes: dict[int, int]) -> None:
    bound = bound_of(1000)
    sizes[ENGINE] = 900
    bound.loaded(ENGINE, 1.0, 0.0)
    assert not bound.exceeded(10000.0)
    sizes[ENGINE] = 400
    bound.loaded(ENGINE, 1.0, 20000.0)
    sizes[ENGINE] = 900
    assert bound.exceeded(30000.0)
