"""Where the text of each document is written: one file each, never over another."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ocr_inference.command.inputs import Input
from ocr_inference.made_folder import folder_for


class PlaceTaken(Exception):
    """The sentence says which file would be written over."""


def places(inputs: Sequence[Input], folder: Path, suffix: str) -> dict[Path, Path]:
    """A file in `folder` for the path of each input, in the same sub-folders.

    `page.png` becomes `page.txt`; beside a `page.jpg`, or where `page.txt` is an input itself, it
    becomes `page.png.txt`. Raises `PlaceTaken` where two would still be one.
    """
    sources = {document.path.resolve() for document in inputs}
    short = {document.path: folder / document.below.with_suffix(suffix) for document in inputs}
    often = Counter(short.values())
    found: dict[Path, Path] = {}
    for document in inputs:
        place = short[document.path]
        if often[place] > 1 or place.resolve() in sources:
            place = folder / document.below.with_name(document.below.name + suffix)
        if place.resolve() in sources:
            raise PlaceTaken(
                f"{place} is an input, and would be written over: name another folder with --to."
            )
        found[document.path] = place
    _refuse_doubles(found)
    return found


def _refuse_doubles(found: Mapping[Path, Path]) -> None:
    first: dict[Path, Path] = {}
    for source, place in found.items():
        if (other := first.setdefault(place, source)) != source:
            raise PlaceTaken(
                f"{other} and {source} would both be written to {place}: read them one by one, "
                "or name the folder above them."
            )


def check_writable(folder: Path) -> None:
    """Leaves nothing behind. Raises `OSError` where no file can be made."""
    with folder_for(folder), tempfile.TemporaryFile(dir=folder):
        pass


def write(place: Path, body: bytes | BinaryIO, force: bool) -> None:
    """The whole file or none; a `body` that is a file is closed.

    Raises `PlaceTaken` for one that is there, without `force`.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name[:100]}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as file:
            copy(body, file)
        if force:
            part.replace(place)
        else:
            _put_new(part, place)
    finally:
        part.unlink(missing_ok=True)


def copy(body: bytes | BinaryIO, to: BinaryIO) -> None:
    """A searchable PDF of a long document is too large for memory, and is a file."""
    if isinstance(body, bytes):
        to.write(body)
        return
    with body:
        shutil.copyfileobj(body, to)


def _put_new(part: Path, place: Path) -> None:
    try:
        place.hardlink_to(part)
    except FileExistsError:
        raise PlaceTaken(f"{place} is there already; --force writes over it.") from None
    except OSError:  # a file system without links
        if os.path.lexists(place):
            raise PlaceTaken(f"{place} is there already; --force writes over it.") from None
        part.replace(place)
