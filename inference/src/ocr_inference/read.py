"""`ocr-inference read`: documents read in this process, without a server."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from ocr_inference.engine.base import Engine, EngineConfig, EngineError, ReadOptions
from ocr_inference.engine.cpu import cpu_limit, cpu_threads
from ocr_inference.engine.registry import make_engine
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.decode import Limits, inspect, render
from ocr_inference.pipeline.format import as_body, as_markdown, as_text
from ocr_inference.pipeline.page import Page, PageStatus
from ocr_inference.settings import Settings

Output = Literal["text", "markdown", "json"]

EXIT_OK = 0
EXIT_FAILED = 1
"""A file or a page was not read; what could be read was printed."""
EXIT_NO_ENGINE = 2

DPI = 200
INCLUDE = frozenset({"blocks", "lines"})


def read_files(files: Sequence[Path], output: Output, settings: Settings) -> int:
    """Print what `files` say, with the model, languages and device of `settings`.

    Returns the exit code. JSON is one object on a line per file. Errors go to standard error.
    """
    with _own_output() as out:
        try:
            engine = _load(settings)
        except Exception as error:
            _complain(f"{settings.model} cannot be loaded: {_sentence(error)}")
            return EXIT_NO_ENGINE
        limits = Limits(settings.max_pages_async, settings.max_pixels, settings.max_side)
        code = EXIT_OK
        for file in files:
            pages = list(_pages(engine, file, limits))
            if not pages or any(page.status is PageStatus.FAILED for page in pages):
                code = EXIT_FAILED
            if pages:
                _print(out, file, pages, output, named=len(files) > 1)
        return code


def _load(settings: Settings) -> Engine:
    engine = make_engine(
        EngineConfig(
            model=settings.model,
            version=settings.model_version,
            backend=settings.backend,
            device=settings.device,
            languages=settings.languages,
            cache_dir=_cache_dir(settings),
            cpu_threads=cpu_threads(cpu_limit()),
            script=settings.script,
        )
    )
    for phase in engine.phases():
        phase.run()
    return engine


def _cache_dir(settings: Settings) -> Path:
    """The container's cache, or the user's where there is no container."""
    wanted = settings.cache_dir
    if "cache_dir" in settings.model_fields_set or os.access(wanted, os.W_OK):
        return wanted
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ocr-inference"


def _pages(engine: Engine, file: Path, limits: Limits) -> Iterator[Page]:
    try:
        found = inspect(file, None, limits)
    except (PublicError, OSError) as error:
        _complain(f"{file}: {error}")
        return
    for number in found.page_numbers:
        page = _page(engine, file, number, limits)
        if page.error is not None:
            _complain(f"{file}, page {number}: {page.error}")
        yield page


def _page(engine: Engine, file: Path, number: int, limits: Limits) -> Page:
    width = height = 0
    dpi = DPI
    try:
        image, dpi = render(file, number, DPI, limits)
        height, width = image.shape[:2]
        began = time.perf_counter()
        text = engine.read(image, ReadOptions(dpi=dpi), None)
        took = {"infer_ms": round((time.perf_counter() - began) * 1000, 1)}
        return Page(number, width, height, dpi, text=text, timings_ms=took)
    except Exception as error:
        # One bad page does not cost the others.
        return Page(number, width, height, dpi, PageStatus.FAILED, error=_sentence(error))


def _print(out: TextIO, file: Path, pages: Sequence[Page], output: Output, named: bool) -> None:
    match output:
        case "json":
            body = {"file": str(file), **as_body(pages, INCLUDE)}
            print(json.dumps(body, ensure_ascii=False), file=out, flush=True)
        case "markdown" | "text":
            if named:
                print(f"==> {file} <==", file=out)
            text = as_markdown(pages) if output == "markdown" else as_text(pages)
            print(text, file=out, flush=True)


@contextmanager
def _own_output() -> Iterator[TextIO]:
    """Standard output for the result alone: the engines' libraries print to it from C++ as well."""
    sys.stdout.flush()
    keep = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(keep), "w", encoding="utf-8") as out:
            yield out
    finally:
        os.dup2(keep, 1)
        os.close(keep)


def _sentence(error: Exception) -> str:
    # A library's own words are often the only hint (a missing file, a CUDA error).
    return str(error) if isinstance(error, (EngineError, PublicError)) else repr(error)


def _complain(message: str) -> None:
    sys.stderr.write(f"ocr-inference: {message}\n")
