"""From an uploaded file to page images.

Runs in a killable child: a decoder may crash, hang or eat memory. Formats are told by magic bytes,
never by name. Sizes are read from headers and refused before anything is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ocr_inference.errors import storage_full, writing
from ocr_inference.pipeline import images, pdf
from ocr_inference.pipeline.crops import Box, Crop, write_crops
from ocr_inference.pipeline.limits import Limits, decode_failed, too_many_pixels
from ocr_inference.pipeline.magic import HEAD_BYTES, media_type_of
from ocr_inference.pipeline.page import Rendered
from ocr_inference.pipeline.picture import copy_picture, encode_picture
from ocr_inference.pipeline.selection import select

__all__ = ["DocumentInfo", "Limits", "crops", "inspect", "picture", "preview", "render"]

_PREVIEW_DPI = 100


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What `inspect` found. `page_numbers` are the 1-based pages to read, in order."""

    media_type: str
    page_count: int
    page_numbers: tuple[int, ...]
    pixels: tuple[int, ...]
    """Of each of these pages; a PDF's at the resolution that it will be rendered at."""


def inspect(path: Path, pages: str | None, limits: Limits, dpi: int = 200) -> DocumentInfo:
    """Tell the format, count the pages (a TIFF's up to `max_pages` + 1) and check every size.

    `pages` selects, as in `1-3,7`. Raises `PublicError`: 400 empty_file, decode_failed;
    415 unsupported_media_type; 422 encrypted_pdf, invalid_pages, too_many_pages, too_many_pixels.
    """
    media_type, kind = _told_by_magic(path)
    if kind is None:
        count = pdf.page_count(path)
        numbers = select(pages, count, limits.max_pages)
        return DocumentInfo(media_type, count, numbers, pdf.pixels(path, numbers, dpi, limits))
    sizes = images.frame_sizes(path, kind, limits.max_pages + 1)
    numbers = select(pages, len(sizes), limits.max_pages)
    for number in numbers:
        if not limits.fits(*sizes[number - 1]):
            raise too_many_pixels(number, *sizes[number - 1], limits)
    pixels = tuple(math.prod(sizes[number - 1]) for number in numbers)
    return DocumentInfo(media_type, len(sizes), numbers, pixels)


def render(path: Path, number: int, dpi: int, limits: Limits) -> Rendered:
    """Decode page `number` (1-based) to BGR.

    A PDF is rendered at `dpi`, or at less where it would not fit; an image keeps its pixels.
    Raises `PublicError` 400 decode_failed, 422 too_many_pixels.
    """
    _, kind = _told_by_magic(path)
    if kind is None:
        return pdf.render_page(path, number, dpi, limits)
    return images.render_frame(path, kind, number, dpi, limits)


def preview(path: Path, number: int, side: int, limits: Limits) -> bytes:
    """Page `number` (1-based) as a JPEG with at most `side` pixels on its longer side; errors as
    for `render`."""
    return images.as_jpeg(render(path, number, _PREVIEW_DPI, limits).image, side)


def crops(
    path: Path,
    number: int,
    dpi: int,
    boxes: Sequence[Box],
    most_bytes: int,
    out: Path,
    limits: Limits,
) -> list[Crop | None]:
    """Parts of page `number` as `write_crops` has them; errors as for `render`, and 503
    storage_full."""
    image = render(path, number, dpi, limits).image
    with writing(), out.open("wb") as file:
        return write_crops(image, boxes, most_bytes, file)


def picture(path: Path, number: int, out: Path, limits: Limits) -> None:
    """Frame `number` of an image file as the JPEG or PNG that a PDF takes; errors as for `render`,
    and 503 storage_full."""
    _, kind = _told_by_magic(path)
    if kind is None:
        raise decode_failed("The document is no picture.")
    size = images.frame_sizes(path, kind, number)[number - 1]
    if not limits.fits(*size):
        raise too_many_pixels(number, *size, limits)
    try:
        if not copy_picture(path, kind, out):
            frame = images.render_frame(path, kind, number, _PREVIEW_DPI, limits)
            encode_picture(frame.image, out)
    except OSError as error:
        raise storage_full() from error


def _told_by_magic(path: Path) -> tuple[str, str | None]:
    """The media type and Pillow's name of the format, None for a PDF."""
    try:
        with path.open("rb") as file:
            return media_type_of(file.read(HEAD_BYTES))
    except FileNotFoundError:
        raise decode_failed("The file is gone, and so is who sent it.") from None
