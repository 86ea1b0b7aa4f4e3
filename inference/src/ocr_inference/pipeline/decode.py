"""From an uploaded file to page images. Runs in a killable child: a decoder may crash, hang or eat memory.

Formats are told by magic bytes, never by name. Sizes are read from headers and refused before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocr_inference.engine.base import Image


@dataclass(frozen=True, slots=True)
class Limits:
    """Refusals before decoding. `max_pixels` counts one page at its rendering resolution, `max_side` pixels."""

    max_pages: int
    max_pixels: int
    max_side: int = 16384


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What `inspect` found. `page_numbers` are the 1-based pages to read, in order."""

    media_type: str
    page_count: int
    page_numbers: tuple[int, ...]


def inspect(path: Path, pages: str | None, limits: Limits) -> DocumentInfo:
    """Tell the format, count the pages (at most `max_pages` + 1) and check every size.

    `pages` selects, as in `1-3,7`. Raises `PublicError`: 400 empty_file, decode_failed; 413/415/422 as in the API.
    """
    raise NotImplementedError


def render(path: Path, number: int, dpi: int, limits: Limits) -> tuple[Image, int]:
    """Decode page `number` (1-based) to BGR; returns the image and its resolution in dots per inch.

    Raises `PublicError` 400 decode_failed, 422 too_many_pixels.
    """
    raise NotImplementedError
