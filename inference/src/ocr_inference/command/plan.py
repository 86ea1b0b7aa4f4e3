"""What a command line of `ocr-inference read` asks for, and what there is to do for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ocr_inference.command.inputs import find, why_missing
from ocr_inference.command.places import check_writable, places
from ocr_inference.command.report import counted, were
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import PdfMode
from ocr_inference.pipeline.selection import check_selection
from ocr_inference.results.form import Output
from ocr_inference.results.outputs import SUFFIXES

_SEVERAL = frozenset(("json", "text", "markdown"))
"""What several documents may say on one standard output."""


@dataclass(frozen=True, slots=True)
class ReadArguments:
    names: tuple[str, ...]
    output: Output = "text"
    to: Path | None = None
    force: bool = False
    skip_existing: bool = False
    pages: str | None = None
    dpi: int = 200
    pdf_mode: PdfMode = "ocr"
    verbose: bool = False


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One document, and the file that its output goes to; None for standard output."""

    path: Path
    place: Path | None


@dataclass(frozen=True, slots=True)
class Plan:
    files: tuple[PlannedFile, ...]
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


class Refused(Exception):
    """Nothing is begun; the sentence says why."""


def plan(arguments: ReadArguments, terminal: bool) -> Plan:
    """Raises `Refused`, `PlaceTaken`. `terminal`: standard output is one."""
    try:
        check_selection(arguments.pages)
    except PublicError as error:
        raise Refused(f"--pages: {error}") from error
    found = find(arguments.names, arguments.to)
    inputs = found.inputs
    if not inputs:
        wrong = " ".join(f"{name}: {why_missing(name)}" for name in found.missing)
        raise Refused(wrong or "There is nothing to read: no document was found.")
    remarks = []
    if found.skipped:
        remarks.append(_left_out(found.skipped, "file", "no documents"))
    if arguments.to is None:
        if arguments.output not in _SEVERAL and len(inputs) > 1:
            raise Refused(f"Several documents as {arguments.output} need a folder: --to FOLDER.")
        if arguments.output == "pdf" and terminal:
            raise Refused("A PDF is not for a terminal: use --to FOLDER, or redirect it to a file.")
        files = [PlannedFile(document.path, None) for document in inputs]
        return Plan(tuple(files), found.missing, tuple(remarks))
    where = places(inputs, arguments.to, SUFFIXES[arguments.output])
    there = {place for place in where.values() if os.path.lexists(place)}
    if there and not arguments.force and not arguments.skip_existing:
        more = f" and {len(there) - 1} more are" if len(there) > 1 else " is"
        raise Refused(
            f"{min(there)}{more} there already: --force writes over what is there, "
            "--skip-existing leaves it as it is."
        )
    if there and arguments.skip_existing:
        remarks.append(_left_out(len(there), "document", "read before"))
        where = {path: place for path, place in where.items() if place not in there}
    if where:
        try:
            check_writable(arguments.to)
        except OSError as error:
            raise Refused(f"{arguments.to} cannot be written: {error.strerror}.") from error
    files = [PlannedFile(path, place) for path, place in where.items()]
    return Plan(tuple(files), found.missing, tuple(remarks))


def _left_out(number: int, noun: str, why: str) -> str:
    return f"{counted(number, noun)} {were(number)} left out: {why}."
