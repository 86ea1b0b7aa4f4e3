"""Folders that are there as long as something is in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def folder_for(folder: Path) -> Iterator[None]:
    """Make `folder` and those above it; those that were not there before and are empty at the end
    go again. Raises `OSError`."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in made:
            with suppress(OSError):  # something is in it
                place.rmdir()
