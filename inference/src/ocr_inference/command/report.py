"""What a run shows on standard error: a progress bar, and what failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Failure:
    """`page` is None where the whole document failed."""

    file: Path
    page: int | None
    error: str


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def were(number: int) -> str:
    return "was" if number == 1 else "were"


def say(stream: TextIO, message: str) -> None:
    stream.write(f"ocr-inference: {message}\n")
    stream.flush()


def progress(stream: TextIO) -> Progress:
    """A bar of pages that goes when it is done; nothing where there is no terminal."""
    console = Console(file=stream)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("pages"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def tell_failures(stream: TextIO, failures: Sequence[Failure]) -> None:
    """A table for people, a line for each failure where a program reads."""
    if not failures:
        return
    console = Console(file=stream)
    if not console.is_terminal:
        for failure in failures:
            page = "" if failure.page is None else f", page {failure.page}"
            say(stream, f"{failure.file}{page}: {failure.error}")
        return
    table = Table(box=SIMPLE_HEAD)
    for heading in ("file", "page", "error"):
        table.add_column(heading, overflow="fold")
    for failure in failures:
        page = "" if failure.page is None else str(failure.page)
        # Text, for a file name may look like rich's markup.
        table.add_row(Text(str(failure.file)), page, Text(failure.error))
    console.print(table)
