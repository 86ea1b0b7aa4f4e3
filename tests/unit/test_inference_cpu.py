"""Cores and memory by the cgroup, in both versions of its file system."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocr_inference.engine.cgroup import memory_limit
from ocr_inference.engine.cpu import cpu_limit, cpu_threads
from ocr_inference.engine.decode_role import address_space

GIB = 1024**3


def limit(tmp_path: Path, own: str, files: dict[str, str]) -> float | None:
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return cpu_limit(tmp_path / "root", tmp_path / "own")


def v1(quota: str) -> dict[str, str]:
    return {"cpu/cpu.cfs_quota_us": quota, "cpu/cpu.cfs_period_us": "100000"}


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/pod/ctr\n", {"pod/ctr/cpu.max": "400000 100000", "pod/cpu.max": "200000 100000"}, 2),
        ("4:cpu,cpuacct:/\n", v1("50000"), 0.5),
        ("4:cpu,cpuacct:/\n", v1("-1"), None),
        ("0::/../../host\n", {}, None),
        ("", {}, None),
    ],
)
def test_the_quota_is_found(
    tmp_path: Path, own: str, files: dict[str, str], expected: float | None
) -> None:
    assert limit(tmp_path, own, files) == expected


def test_a_missing_file_system_is_no_limit(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path / "nothing", tmp_path / "nothing") is None


def test_threads_are_never_more_than_the_cores_that_may_be_used() -> None:
    cores = len(os.sched_getaffinity(0))
    assert cpu_threads(None) == cores
    assert cpu_threads(0.5) == 1
    assert cpu_threads(1.2) == min(2, cores)
    assert cpu_threads(1000.0) == cores


@pytest.mark.parametrize(
    ("own", "name", "content", "expected"),
    [
        ("0::/\n", "memory.max", "1073741824\n", GIB),
        ("0::/\n", "memory.max", "max\n", None),
        ("0::/pod\n", "pod/memory.max", "5", 5),
        ("9:memory:/pod\n", "memory/pod/memory.limit_in_bytes", "7\n", 7),
        ("9:memory:/\n", "memory/memory.limit_in_bytes", "8\n", 8),
    ],
)
def test_the_memory_limit_is_found(
    tmp_path: Path, own: str, name: str, content: str, expected: int | None
) -> None:
    (tmp_path / "own").write_text(own)
    path = tmp_path / "root" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert memory_limit(tmp_path / "root", tmp_path / "own") == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(None, 3 * GIB), (16 * GIB, 3 * GIB), (2 * GIB, GIB), (GIB, 768 * 1024**2)],
)
def test_the_decoder_gets_half_of_the_memory_at_most(limit: int | None, expected: int) -> None:
    assert address_space(limit) == expected
