"""How `bench` counts."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import pytest

from ocr_inference.command.bench import measure, percentile
from ocr_inference.command.bench_targets import ReadFailed
from ocr_inference.command.sample import write_sample
from ocr_inference.pipeline.decode import Limits, render


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)]
)
def test_a_percentile_is_one_of_the_times(share: float, expected: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == expected


def test_of_no_times_there_is_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


def test_so_many_are_read_at_a_time_and_files_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, most, seen = 0, 0, []

    async def read(file: Path) -> int:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        seen.append(file.name)
        await asyncio.sleep(0)
        reading -= 1
        return 2

    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    result = asyncio.run(measure(read, [Path("a"), Path("b")], concurrency=3, seconds=60.0))
    assert most == 3
    assert seen[:4] == ["a", "b", "a", "b"]
    assert result.pages == 2 * result.documents == 2 * len(seen)
    assert result.failed == 0


def test_what_fails_is_counted_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(_file: Path) -> int:
        raise ReadFailed("no")

    async def at_once(_seconds: float) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", at_once)
    ticks = iter(range(10_000))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(ticks)))
    result = asyncio.run(measure(read, [Path("a")], concurrency=1, seconds=10.0))
    assert result.failed > 1
    assert (result.documents, result.pages) == (0, 0)
    assert math.isnan(result.p50_ms)


def test_the_sample_is_an_a4_page_at_200_dpi(tmp_path: Path) -> None:
    write_sample(tmp_path / "sample.png")
    image, dpi, *_ = render(tmp_path / "sample.png", 1, 100, Limits(1, 40_000_000))
    assert (image.shape[1], image.shape[0], dpi) == (1654, 2339, 200)
    # Print all over it, and not only in a corner.
    dark = (image < 128).all(axis=2)
    assert 0.02 < dark.mean() < 0.2 and dark[2000:].any() and dark[:, 1200:].any()
