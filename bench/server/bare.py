"""An engine without a server: a pool of processes that decode pages and read them."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_inference.engine.base import EngineConfig, ReadOptions
from ocr_inference.engine.host import child_environment
from ocr_inference.engine.registry import make_engine
from ocr_inference.pipeline.decode import render
from ocr_inference.pipeline.format import as_text
from ocr_inference.pipeline.limits import Limits
from ocr_inference.pipeline.page import Page

DPI = 200
LIMITS = Limits(max_pages=2000, max_pixels=40_000_000)

_engine: Any = None
"""Of this process, one of the pool's."""


class BarePool:
    """`processes` engines of `threads` threads each, loaded and warm."""

    def __init__(self, executor: ProcessPoolExecutor, processes: int, threads: int) -> None:
        self._executor = executor
        self.name = f"{processes} x {threads} threads"

    def read(self, page: Path) -> tuple[float, str]:
        """Seconds in the process from the file's bytes to the text, and the text."""
        return self._executor.submit(read_file, str(page)).result()

    def pages_per_second(self, pages: Sequence[Path]) -> float:
        began = time.perf_counter()
        list(self._executor.map(read_file, map(str, pages)))
        return len(pages) / (time.perf_counter() - began)

    def seconds_for_raw(self, pages: Sequence[RawImage]) -> float:
        """For pages that were decoded before."""
        began = time.perf_counter()
        list(self._executor.map(read_raw, pages))
        return time.perf_counter() - began


RawImage = tuple[str, int, int, int]
"""File with height by width by 3 bytes BGR, height, width, dots per inch."""


@contextmanager
def bare_pool(model: str, processes: int, threads: int, warm: Path) -> Iterator[BarePool]:
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_load,
        initargs=(model, threads),
    ) as executor:
        # As the server's engine children have it. Read when a process begins, and here alone: a
        # server that is started later is not to have it.
        with pytest.MonkeyPatch.context() as environment:
            for name, value in child_environment(os.environ, "engine", threads).items():
                environment.setenv(name, value)
            # Submitted together, so that every process is there and has read one.
            list(executor.map(read_file, [str(warm)] * processes * 2))
        yield BarePool(executor, processes, threads)


def _load(model: str, threads: int) -> None:
    global _engine
    cache = Path(tempfile.gettempdir())
    _engine = make_engine(EngineConfig(model, "", "native", "cpu", (), cache, threads))
    for phase in _engine.phases():
        phase.run()


def read_file(page: str) -> tuple[float, str]:
    began = time.perf_counter()
    image, dpi, *_ = render(Path(page), 1, DPI, LIMITS)
    text = _text(image, dpi)
    return time.perf_counter() - began, text


def read_raw(raw: RawImage) -> str:
    file, height, width, dpi = raw
    shape = (height, width, 3)
    return _text(np.asarray(np.memmap(file, dtype=np.uint8, mode="c", shape=shape)), dpi)


def _text(image: Any, dpi: int) -> str:
    height, width = image.shape[:2]
    text = _engine.read(image, ReadOptions(dpi=dpi), None)
    return as_text([Page(1, width, height, dpi, text=text)])
