"""A JPEG or PNG file as a page of a PDF, its data as it is (PDF 1.7, 7.4.4.4 and 7.4.8)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Pdf

from ocr_inference.pipeline.images import opened, orientation_of

_POINTS_PER_INCH = 72.0
_LARGEST_POINTS = 14400.0
"""The longest side of a page that readers take (PDF 1.7, annex C)."""

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


def picture_page(pdf: Pdf, picture: Path, dpi: int) -> pikepdf.Page:
    """Add a page that a JPEG or PNG file fills, at `dpi` dots per inch or at more if it must."""
    data = picture.read_bytes()
    is_png = data.startswith(b"\x89PNG")
    with opened(picture, "PNG" if is_png else "JPEG") as image:
        width, height = image.size
        orientation = orientation_of(image)
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
