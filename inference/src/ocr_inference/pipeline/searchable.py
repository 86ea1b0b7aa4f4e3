"""Searchable PDF: the document's own pages, or its pictures as pages, with the text under them.

The text is invisible (render mode 3) and comes before what the page draws: there no transformation
that a page forgot to undo can move it.
"""

from __future__ import annotations

import copy
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pikepdf
from pikepdf import Array, Dictionary, Object, Pdf

from ocr_inference.errors import PublicError, writing
from ocr_inference.pipeline.glyphless import WIDTH, GlyphlessFont
from ocr_inference.pipeline.limits import decode_failed
from ocr_inference.pipeline.pdf_picture import picture_page
from ocr_inference.pipeline.text_layer import PageLayer, read_layers

_DEEPEST = 64
"""Levels of a page tree; a damaged one may be its own parent."""

_LETTER = (0.0, 0.0, 612.0, 792.0)
"""What PDFium takes where a page has no size."""

_LEAST_STRETCH = 0.1
"""Percent of a letter's natural width: a word without width would be no word."""

Box = tuple[float, float, float, float]


def write_searchable(document: Path, layers: Path, pictures: Sequence[Path], out: Path) -> None:
    """Write the pages that `layers` names to `out`.

    `pictures` are their JPEG or PNG files in this order; empty where the document is a PDF itself.
    Raises `PublicError`: 400 decode_failed, 422 encrypted_pdf, 503 storage_full.
    """
    try:
        with writing():
            if pictures:
                with Pdf.new() as pdf:
                    _from_pictures(pdf, layers, pictures)
                    pdf.save(out)
            else:
                with Pdf.open(document) as pdf:
                    _from_pdf(pdf, layers, out)
    except pikepdf.PasswordError as error:
        raise PublicError(
            422, "encrypted_pdf", "The PDF is encrypted; send it without a password."
        ) from error
    except (pikepdf.PdfError, RuntimeError, ValueError, TypeError) as error:
        raise decode_failed("The PDF is damaged: it cannot be written again.") from error


def _from_pictures(pdf: Pdf, layers: Path, pictures: Sequence[Path]) -> None:
    font = GlyphlessFont()
    pages = []
    for layer, picture in zip(read_layers(layers), pictures, strict=True):
        page = picture_page(pdf, picture, layer.dpi)
        pages.append((page, _layer(layer, font, _box(page.obj), 0)))
    _add_layers(pdf, pages, font)


def _from_pdf(pdf: Pdf, layers: Path, out: Path) -> None:
    font = GlyphlessFont()
    pages = []
    numbers = []
    for layer in read_layers(layers):
        page = pdf.pages[layer.number - 1]
        numbers.append(layer.number)
        pages.append((page, _layer(layer, font, _box(page.obj), _rotation(page.obj))))
    _add_layers(pdf, pages, font)
    if len(numbers) == len(pdf.pages):
        pdf.save(out)
        return
    # Into a new document: what points to the pages that were not asked for stays behind.
    with Pdf.new() as some:
        for number in numbers:
            some.pages.append(pdf.pages[number - 1])
        some.save(out)


def _add_layers(pdf: Pdf, pages: Sequence[tuple[pikepdf.Page, bytes]], font: GlyphlessFont) -> None:
    if not any(content for _, content in pages):
        return
    added = font.add_to(pdf)
    for page, content in pages:
        if content:
            name = _name_font(page.obj, added)
            page.contents_add(pdf.make_stream(content.replace(b"/Font", name)), prepend=True)


def _name_font(page: Object, font: Object) -> bytes:
    """Put the font among the page's resources, which it may have from its parents and share."""
    inherited = _inherited(page, "/Resources")
    resources = copy.copy(inherited) if isinstance(inherited, Dictionary) else Dictionary()
    there = resources.get("/Font")
    fonts = copy.copy(there) if isinstance(there, Dictionary) else Dictionary()
    name = next(name for count in range(len(fonts) + 1) if (name := f"/Ocr{count}") not in fonts)
    fonts[name] = font
    resources["/Font"] = fonts
    page["/Resources"] = resources
    return name.encode()


def _layer(layer: PageLayer, font: GlyphlessFont, box: Box, rotation: int) -> bytes:
    """The content that places the words; `box` is what is shown of the page, `rotation` how far it
    is turned for that, in degrees clockwise."""
    if not layer.lines:
        return b""
    left, bottom, right, top = box
    wide, high = right - left, top - bottom
    # From what is seen, in points from its lower left, to the page's own axes.
    matrix, (width, height) = {
        0: ((1, 0, 0, 1, left, bottom), (wide, high)),
        90: ((0, 1, -1, 0, right, bottom), (high, wide)),
        180: ((-1, 0, 0, -1, right, top), (wide, high)),
        270: ((0, -1, 1, 0, left, top), (high, wide)),
    }[rotation]
    across, down = width / layer.width, height / layer.height
    parts = [b"q %s cm BT 3 Tr\n" % _numbers(*matrix)]
    for upper, lower, words in layer.lines:
        size = max(1.0, (lower - upper) * down)
        base = height - lower * down
        parts.append(b"/Font %s Tf\n" % _numbers(size))
        for text, start, end in words:
            natural = len(text) * WIDTH * size
            stretch = max(_LEAST_STRETCH, (end - start) * across / natural * 100)
            # Written to the left where it is read so: the letters are in order and in place.
            side, at = (-1, end) if _is_right_to_left(text) else (1, start)
            place = _numbers(stretch), side, _numbers(at * across, base), font.encoded(f"{text} ")
            parts.append(b"%s Tz %d 0 0 1 %s Tm %s Tj\n" % place)
    parts.append(b"ET Q\n")
    return b"".join(parts)


def _is_right_to_left(text: str) -> bool:
    if text.isascii():
        return False
    sides = (unicodedata.bidirectional(char) for char in text)
    return next((side for side in sides if side in ("L", "R", "AL")), "L") != "L"


def _numbers(*values: float) -> bytes:
    return b" ".join(b"%.3f" % value for value in values)


def _box(page: Object) -> Box:
    """What PDFium shows of a page, and the engine saw."""
    media = _rectangle(_inherited(page, "/MediaBox")) or _LETTER
    crop = _rectangle(_inherited(page, "/CropBox"))
    if crop is None:
        return media
    lefts, bottoms, rights, tops = zip(media, crop, strict=True)
    box = max(lefts), max(bottoms), min(rights), min(tops)
    return box if box[0] < box[2] and box[1] < box[3] else media


def _rectangle(value: Object | None) -> Box | None:
    if not isinstance(value, Array) or len(value) != 4:
        return None
    try:
        x1, y1, x2, y2 = (float(edge) for edge in value.as_list())
    except (TypeError, ValueError):
        return None
    box = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    return box if box[0] < box[2] and box[1] < box[3] else None


def _rotation(page: Object) -> int:
    value = _inherited(page, "/Rotate")
    return int(value) // 90 * 90 % 360 if isinstance(value, int) else 0


def _inherited(page: Object, name: str) -> Object | None:
    node: Object | None = page
    for _ in range(_DEEPEST):
        if not isinstance(node, Dictionary):
            return None
        if name in node:
            return node[name]
        node = node.get("/Parent")
    return None
