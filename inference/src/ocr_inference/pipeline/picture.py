"""A raster image as a page of a PDF, without loss and without decoding where the formats allow it.

JPEG and PNG data go into a PDF as they are (PDF 1.7, 7.4.4.4 and 7.4.8). Everything else becomes
one of the two first: PNG where there are few colours, as in what was printed, JPEG for photographs.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Pdf
from PIL import Image as Pillow

from ocr_inference.engine.base import Image

_POINTS_PER_INCH = 72.0
_LARGEST_POINTS = 14400.0
"""The longest side of a page that readers take (PDF 1.7, annex C)."""

_FEW_COLOURS = 256
_JPEG_QUALITY = 90
_ORIENTATION = 0x0112

_PLACED = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
"""Exif orientation to what makes a unit square upright (`a b c d e f` of a PDF matrix)."""


def copy_picture(path: Path, kind: str, out: Path) -> bool:
    """Copy a file that can be a picture in a PDF as it is; False where it cannot."""
    with Pillow.open(path, formats=[kind]) as image:
        if kind == "JPEG":
            # CMYK is stored inverted by some and not by others.
            fits = image.mode in ("L", "RGB")
        else:
            plain = image.mode in ("1", "L", "P", "RGB") and "transparency" not in image.info
            fits = kind == "PNG" and plain and not image.info.get("interlace")
            # What turns the picture may be at the end of the file.
            fits = fits and image.load() is not None and _orientation(image) == 1
    if fits:
        shutil.copyfile(path, out)
    return fits


def encode_picture(image: Image, out: Path) -> None:
    """Write an image as what is small and sharp enough for it."""
    blue, green, red = (image[:, :, channel] for channel in range(3))
    grey = bool(np.array_equal(blue, green) and np.array_equal(green, red))
    picture = Pillow.fromarray(np.ascontiguousarray(blue if grey else image[:, :, ::-1]))
    colours = picture.getcolors(_FEW_COLOURS)
    if colours is None or (grey and len(colours) > _FEW_COLOURS // 2):
        picture.save(out, "JPEG", quality=_JPEG_QUALITY)
        return
    if grey and {value for _, value in colours} <= {0, 255}:
        picture = picture.convert("1")
    picture.save(out, "PNG")


def picture_page(pdf: Pdf, picture: Path, dpi: int) -> pikepdf.Page:
    """Add a page that a JPEG or PNG file fills, at `dpi` dots per inch or at more if it must."""
    with Pillow.open(picture, formats=["JPEG", "PNG"]) as image:
        width, height = image.size
        orientation = _orientation(image)
        data = picture.read_bytes()
        is_png = image.format == "PNG"
        colours = Name.DeviceGray if image.mode == "L" else Name.DeviceRGB
    drawn = (
        _png(pdf, data)
        if is_png
        else pdf.make_stream(data, Filter=Name.DCTDecode, ColorSpace=colours, BitsPerComponent=8)
    )
    drawn.Type, drawn.Subtype, drawn.Width, drawn.Height = Name.XObject, Name.Image, width, height
    if orientation >= 5:
        width, height = height, width
    scale = min(_POINTS_PER_INCH / dpi, _LARGEST_POINTS / max(width, height))
    wide, high = width * scale, height * scale
    a, b, c, d, e, f = _PLACED[orientation]
    matrix = (a * wide, b * high, c * wide, d * high, e * wide, f * high)
    content = b"q %s cm /Picture Do Q\n" % b" ".join(b"%.4f" % value for value in matrix)
    pdf.add_blank_page(page_size=(wide, high))
    page = pdf.pages[-1]
    page.obj.Resources = Dictionary(XObject=Dictionary(Picture=drawn))
    page.obj.Contents = pdf.make_stream(content)
    return page


def _png(pdf: Pdf, data: bytes) -> Object:
    """The compressed rows of a PNG without interlace or transparency.

    https://www.w3.org/TR/png-3/
    """
    chunks: dict[bytes, list[bytes]] = {}
    for name, body in _chunks(data):
        chunks.setdefault(name, []).append(body)
    width, _, depth, colour_type = struct.unpack(">IIBB", chunks[b"IHDR"][0][:10])
    channels = 3 if colour_type == 2 else 1
    space: Object = Name.DeviceRGB if colour_type == 2 else Name.DeviceGray
    if colour_type == 3:
        palette = chunks[b"PLTE"][0]
        space = Array(
            [Name.Indexed, Name.DeviceRGB, len(palette) // 3 - 1, pikepdf.String(palette)]
        )
    rows = Dictionary(Predictor=15, Colors=channels, BitsPerComponent=depth, Columns=width)
    return pdf.make_stream(
        b"".join(chunks[b"IDAT"]),
        Filter=Name.FlateDecode,
        DecodeParms=rows,
        ColorSpace=space,
        BitsPerComponent=depth,
    )


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _orientation(image: Pillow.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in _PLACED else 1
