"""How many children a container has room for."""

from __future__ import annotations

import pytest

from ocr_inference.engine import sizes
from ocr_inference.engine.sizes import decoders, pool_size

MIB = 1024**2


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | None]:
    told: dict[str, int | None] = {"cores": 8, "memory": None}
    monkeypatch.setattr(sizes, "memory_limit", lambda: told["memory"])
    monkeypatch.setattr(sizes, "cpu_threads", lambda limit: limit or told["cores"])
    monkeypatch.setattr(sizes, "_physical_memory", lambda: 64 * 1024 * MIB)
    return told


@pytest.mark.parametrize(
    ("model", "cores", "memory", "size"),
    [
        ("tesseract", 2, 2048, 2),
        ("tesseract", 16, 64 * 1024, 16),
        ("tesseract", 2, 512, 1),  # the second would not fit beside the others
        ("tesseract", 8, 400, 1),  # less than what the others need, and one is needed
        ("tesseract", 64, None, 4),
        ("paddleocr-vl", 8, 64 * 1024, 1),
        ("unknown", 8, 64 * 1024, 1),
    ],
)
def test_a_cpu_engine_has_a_child_for_each_core_where_the_memory_allows(
    model: str, cores: int, memory: int | None, size: int, machine: dict[str, int | None]
) -> None:
    machine["cores"] = cores
    machine["memory"] = None if memory is None else memory * MIB
    assert pool_size(0, model, None, 100 * MIB) == size


@pytest.mark.parametrize(("memory", "size"), [(2048, 1), (3072, 2), (4096, 3)])
def test_what_a_page_takes_beyond_the_loaded_engine_counts(
    memory: int, size: int, machine: dict[str, int | None]
) -> None:
    machine["memory"] = memory * MIB
    assert pool_size(0, "pp-ocr", None, 200 * MIB) == size


def test_what_is_asked_for_is_what_there_is(machine: dict[str, int | None]) -> None:
    assert pool_size(3, "paddleocr-vl", 1, 8000 * MIB) == 3


def test_there_are_two_decoders_at_least(machine: dict[str, int | None]) -> None:
    assert (decoders(1), decoders(16)) == (2, 4)
