"""`ocr-inference bench`: pages a second and the time of one, for this machine or for a server."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ocr_inference.caches import cache_dir
from ocr_inference.command.bench_targets import Here, ReadFailed, Target, There, machine
from ocr_inference.command.inputs import find, why_missing
from ocr_inference.command.report import say
from ocr_inference.command.room import EngineFailed, NoRoom
from ocr_inference.command.sample import write_sample
from ocr_inference.command.streams import OutputFailed, own_streams, writing_out
from ocr_inference.engine.base import EngineError
from ocr_inference.engine.registry import resolve_version
from ocr_inference.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_NOTHING_DONE = 2
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class BenchArguments:
    """`seconds` for each concurrency; `url` and `key` are those of a running server."""

    names: tuple[str, ...]
    concurrency: tuple[int, ...]
    seconds: float
    url: str | None
    key: str | None
    as_json: bool
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """Times are in milliseconds, of one document from its asking to its text."""

    concurrency: int
    documents: int
    pages: int
    failed: int
    seconds: float
    pages_per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


def bench(arguments: BenchArguments, settings: Settings) -> int:
    """Measure and print a table, or JSON; returns the exit code."""
    settings = settings.model_copy(update={"cache_dir": cache_dir(settings)})
    with own_streams(arguments.verbose) as (out, err), tempfile.TemporaryDirectory() as folder:
        found = find(arguments.names)
        files = [document.path for document in found.inputs]
        for name in found.missing:
            say(err, f"{name}: {why_missing(name)}")
        if arguments.names and not files:
            if not found.missing:
                say(err, "There is nothing to measure with: no document was found.")
            return EXIT_NOTHING_DONE
        if not files:
            files = [Path(folder) / "sample.png"]
            write_sample(files[0])
        try:
            if arguments.url is None:
                resolve_version(settings.model, settings.model_version)
            about, results = asyncio.run(_measure_all(arguments, settings, files, err))
        except (EngineFailed, EngineError, NoRoom, ReadFailed) as error:
            say(err, str(error))
            return EXIT_NOTHING_DONE
        except KeyboardInterrupt:
            say(err, "Interrupted.")
            return EXIT_INTERRUPTED
        try:
            with writing_out():
                _print(arguments, about, results, out)
        except BrokenPipeError:
            return EXIT_FAILED
        except OutputFailed as error:
            say(err, str(error))
            return EXIT_FAILED
        return EXIT_FAILED if any(result.failed for result in results) else EXIT_OK


async def _measure_all(
    arguments: BenchArguments, settings: Settings, files: Sequence[Path], err: TextIO
) -> tuple[dict[str, Any], list[Measured]]:
    results = []
    about: dict[str, Any] = {}
    for concurrency in arguments.concurrency:
        target: AbstractAsyncContextManager[Target]
        if arguments.url is None:
            target = Here(settings, concurrency)
        else:
            target = There(arguments.url, arguments.key, concurrency)
        async with target as reads:
            say(err, f"measuring {arguments.seconds:g} s with {concurrency} at a time")
            # What is made at first use is not measured: one for each engine.
            await asyncio.gather(*(reads.read(files[0]) for _ in range(concurrency)))
            results.append(await measure(reads.read, files, concurrency, arguments.seconds))
            about = {**machine(), **await reads.about()}
    return about, results


async def measure(
    read: Callable[[Path], Awaitable[int]], files: Sequence[Path], concurrency: int, seconds: float
) -> Measured:
    """Keep `concurrency` readings going for so long; `read` returns a document's pages. What was
    begun in time is waited for and counts, and so does its time."""
    times: list[float] = []
    pages = failed = turn = 0
    began = time.monotonic()

    async def one_after_another() -> None:
        nonlocal pages, failed, turn
        while time.monotonic() - began < seconds:
            file = files[turn % len(files)]
            turn += 1
            asked = time.monotonic()
            try:
                # Not `pages += await …`, which adds to what was there before the wait.
                got = await read(file)
            except ReadFailed:
                failed += 1
                await asyncio.sleep(0.1)  # a server that refuses is not to be stormed
            else:
                times.append(time.monotonic() - asked)
                pages += got

    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))
    took = time.monotonic() - began
    return Measured(
        concurrency,
        len(times),
        pages,
        failed,
        round(took, 2),
        round(pages / took, 3),
        *(round(percentile(times, share) * 1000, 1) for share in (0.50, 0.95, 0.99)),
    )


def percentile(times: Sequence[float], share: float) -> float:
    """The smallest time that `share` of them do not exceed (nearest rank); NaN for none."""
    if not times:
        return math.nan
    return sorted(times)[max(0, math.ceil(share * len(times)) - 1)]


def _print(
    arguments: BenchArguments, about: dict[str, Any], results: Sequence[Measured], out: BinaryIO
) -> None:
    if arguments.as_json:
        body = {
            "machine": about,
            "results": [
                {
                    name: None if isinstance(value, float) and math.isnan(value) else value
                    for name, value in asdict(result).items()
                }
                for result in results
            ],
        }
        out.write(json.dumps(body, indent=1).encode() + b"\n")
        out.flush()
        return
    with open(out.fileno(), "w", encoding="utf-8", closefd=False) as text:
        console = Console(file=text, width=None if out.isatty() else 100)
        known = (f"{name} {value}" for name, value in about.items() if value is not None)
        console.print(", ".join(known), markup=False)
        table = Table(box=SIMPLE_HEAD)
        for heading in ("at a time", "pages/s", "p50 ms", "p95 ms", "p99 ms", "pages", "failed"):
            table.add_column(heading, justify="right")
        for result in results:
            table.add_row(
                str(result.concurrency),
                f"{result.pages_per_second:.2f}",
                *(f"{value:.0f}" for value in (result.p50_ms, result.p95_ms, result.p99_ms)),
                str(result.pages),
                str(result.failed),
            )
        console.print(table)
