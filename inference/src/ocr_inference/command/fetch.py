"""`ocr-inference fetch`: weights from an address, a bucket or a model hub to where engines look."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ocr_inference.caches import cache_dir
from ocr_inference.command.report import say
from ocr_inference.engine.paddle_weights import PIPELINES
from ocr_inference.settings import Settings
from ocr_inference.weights.download import Downloader
from ocr_inference.weights.fetch import Watch, fetch
from ocr_inference.weights.remote import FetchExit, FetchFailed, RemoteFile

EXIT_OK = 0
EXIT_INTERRUPTED = 130

_HUB_OWNER = "PaddlePaddle"


def fetch_weights(
    source: str, to: Path | None, sha256: str | None, idle_timeout: float, settings: Settings
) -> int:
    """Fetch `source`; returns the exit code, and what went wrong is a sentence on stderr."""
    err = sys.stderr
    folder = to or cache_dir(settings) / "paddlex" / "official_models"
    try:
        for one in _sources(source):
            _fetch_one(one, folder, sha256, idle_timeout, settings, err)
    except FetchFailed as error:
        say(err, str(error))
        return int(error.code)
    except KeyboardInterrupt:
        say(err, "Interrupted; the next time goes on from here.")
        return EXIT_INTERRUPTED
    return EXIT_OK


def _sources(source: str) -> list[str]:
    """A model's name means its repositories on the hub; anything else is itself."""
    name, _, version = source.partition(":")
    if name in ("pp-ocr", "tesseract"):
        raise FetchFailed(
            FetchExit.USAGE, f"{name} needs no weights: they come with its library or package."
        )
    if name != "paddleocr-vl":
        return [source]
    pipeline = PIPELINES.get(version or next(iter(PIPELINES)))
    if pipeline is None:
        known = ", ".join(PIPELINES)
        raise FetchFailed(FetchExit.USAGE, f"paddleocr-vl has no version {version}; known: {known}")
    # The hub's names of the language models lack their size, and so do PaddleX's folders.
    models = (pipeline.layout, pipeline.language.removesuffix("-0.9B"))
    return [f"hf://{_HUB_OWNER}/{model}" for model in models]


def _fetch_one(
    source: str,
    folder: Path,
    sha256: str | None,
    idle_timeout: float,
    settings: Settings,
    err: TextIO,
) -> None:
    with _bar(err) as bar:
        watch = _Drawn(bar, err)
        patience = f"Trying again, for up to {idle_timeout:g} s without a byte (--idle-timeout)."
        downloader = Downloader(
            idle_timeout, watch.came, lambda sentence: say(err, f"{sentence} {patience}")
        )
        new = fetch(source, folder, sha256, settings, downloader, watch)
    # Without the query of an address, which may be a signature.
    what = source.partition("?")[0]
    say(err, f"{what} is in {folder}." if new else f"{what} was in {folder} already.")


class _Drawn(Watch):
    def __init__(self, bar: Progress, err: TextIO) -> None:
        self._bar = bar
        self._err = err
        self._task = bar.add_task("fetching", total=None)

    def came(self, count: int) -> None:
        self._bar.advance(self._task, count)

    def found(self, files: list[RemoteFile], there: int) -> None:
        sizes = [file.size for file in files]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        self._bar.update(self._task, total=total, completed=there)
        size = "" if total is None else f", {total / 1e6:,.1f} MB"
        resumed = f", {there / 1e6:,.1f} MB of it there" if there else ""
        say(self._err, f"{len(files)} {'file' if len(files) == 1 else 'files'}{size}{resumed}")

    def unchecked(self, file: RemoteFile) -> None:
        say(self._err, f"{file.name}: no checksum is known, only its length was checked.")

    def waiting(self) -> None:
        say(self._err, "Another fetch to this folder is running; waiting for it.")


def _bar(err: TextIO) -> Progress:
    console = Console(file=err)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
