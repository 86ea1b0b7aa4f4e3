"""Which documents a command line names: files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.magic import HEAD_BYTES, media_type_of

EXTENSIONS = frozenset(
    (".pdf", ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp", ".bmp", ".dib")
)
"""A file with one of these is meant to be read; when it holds something else, that is said."""


@dataclass(frozen=True, slots=True)
class Input:
    """A document, and where it lies below the folder or pattern that it was found by."""

    path: Path
    below: Path


@dataclass(frozen=True, slots=True)
class Found:
    inputs: tuple[Input, ...]
    missing: tuple[str, ...]
    """What names nothing."""
    skipped: int
    """Files in folders that are no documents."""


def find(names: Iterable[str], leave_out: Path | None = None) -> Found:
    """The documents that `names` mean, each once and in order.

    A folder means every document in it and below, known by its content or its extension; hidden
    ones and what lies in `leave_out` are left out. A pattern (`scans/**/*.png`) is for shells that
    do not expand it, and for lists that are too long for one.
    """
    found: dict[Path, Input] = {}
    missing, skipped = [], 0
    for name in names:
        path = Path(name)
        if path.is_dir():
            for file in _walk(path, leave_out):
                if _is_document(file):
                    found.setdefault(file.resolve(), Input(file, file.relative_to(path)))
                else:
                    skipped += 1
        elif path.is_file():
            found.setdefault(path.resolve(), Input(path, Path(path.name)))
        elif matches := _matches(name):
            base = _fixed_part(name)
            for file in matches:
                found.setdefault(file.resolve(), Input(file, file.relative_to(base)))
        else:
            missing.append(name)
    return Found(tuple(found.values()), tuple(missing), skipped)


def why_missing(name: str) -> str:
    """What is wrong with a name that names nothing."""
    if os.path.lexists(name):
        return "This is not a file or a folder."
    return "The pattern matches nothing." if glob.has_magic(name) else "There is no such file."


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    apart = None if leave_out is None else leave_out.resolve()
    if apart == folder.resolve():
        apart = None  # beside the documents, so the folder itself cannot be left out
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (Path(place) / name).resolve() != apart
        )
        for name in sorted(files):
            file = Path(place) / name
            # Opening a FIFO would wait for ever.
            if not name.startswith(".") and file.is_file():
                yield file


def _is_document(file: Path) -> bool:
    if file.suffix.lower() in EXTENSIONS:
        return True
    try:
        with file.open("rb") as stream:
            media_type_of(stream.read(HEAD_BYTES))
    except (PublicError, OSError):
        return False
    return True


def _matches(pattern: str) -> list[Path]:
    if not glob.has_magic(pattern):
        return []
    # glob and not Path.glob: it takes absolute patterns.
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    return sorted(path for path in map(Path, names) if path.is_file())


def _fixed_part(pattern: str) -> Path:
    """The folders before the first that has a star."""
    parts = Path(pattern).parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])
