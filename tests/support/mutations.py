"""Documents broken in a thousand ways, the same ones every time."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

import pikepdf
from documents import pdf
from PIL import Image, ImageDraw

LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""What a length that is trusted must not be."""


@cache
def valid_documents() -> dict[str, list[bytes]]:
    """A few of each kind that we read, each with other parts in it."""
    photo = Image.effect_noise((160, 120), 60).convert("RGB")
    ImageDraw.Draw(photo).text((10, 10), "The quick brown fox")
    grey, palette = photo.convert("L"), photo.convert("P")
    alpha, line_art = photo.convert("RGBA"), photo.convert("1")
    return {
        "PNG": [_saved(image, "PNG") for image in (photo, palette, alpha, line_art)],
        "JPEG": [
            _saved(photo, "JPEG"),
            _saved(grey, "JPEG", progressive=True),
            _saved(photo.convert("CMYK"), "JPEG"),
        ],
        "TIFF": [
            _saved(photo, "TIFF", compression="tiff_lzw", save_all=True, append_images=[grey]),
            _saved(line_art, "TIFF", compression="group4"),
            _saved(photo, "TIFF", compression="jpeg"),
            _saved(alpha, "TIFF"),
        ],
        "WEBP": [
            _saved(photo, "WEBP"),
            _saved(alpha, "WEBP", lossless=True),
            _saved(photo, "WEBP", save_all=True, append_images=[photo.rotate(90)]),
        ],
        "BMP": [_saved(image, "BMP") for image in (photo, palette, line_art)],
        "PDF": [
            pdf((200, 100), (100, 200), content="1 0 0 rg 9 9 50 50 re f"),
            _saved(photo, "PDF", save_all=True, append_images=[grey]),
            _saved(line_art, "PDF"),
            _packed_pdf(),
        ],
    }


def mutated(count: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """`count` broken documents with the name of their kind, the kinds by turns."""
    chance = random.Random(seed)  # noqa: S311
    valid = valid_documents()
    everything = [data for documents in valid.values() for data in documents]
    changes = (_flip, _flip, _cut, _set_length, _set_length, _splice, _repeat, _remove)
    for number in range(count):
        kind = list(valid)[number % len(valid)]
        data = bytearray(chance.choice(valid[kind]))
        for _ in range(chance.choice((1, 1, 2, 4))):
            chance.choice(changes)(data, chance, everything)
        if kind == "PNG" and chance.random() < 0.8:
            _seal(data)
        yield kind, bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Anywhere behind the magic bytes, the first kilobyte, where the headers are, more often."""
    end = max(9, len(data) if chance.random() < 0.5 else min(len(data), 1024))
    return chance.randrange(8, end)


def _seal(data: bytearray) -> None:
    """Make the checksums right, or a PNG's decoder looks no further."""
    place = 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4


def _flip(data: bytearray, chance: random.Random, _others: list[bytes]) -> None:
    for _ in range(chance.choice((1, 3, 20))):
        place = _place(data, chance)
        if place < len(data):
            data[place] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: random.Random, _others: list[bytes]) -> None:
    del data[_place(data, chance) :]


def _set_length(data: bytearray, chance: random.Random, _others: list[bytes]) -> None:
    kind = chance.choice(("<I", ">I", "<H", ">H"))
    size = struct.calcsize(kind)
    value = chance.choice(LENGTHS) & (256**size - 1)
    place = _place(data, chance)
    data[place : place + size] = struct.pack(kind, value)


def _splice(data: bytearray, chance: random.Random, others: list[bytes]) -> None:
    other = chance.choice(others)
    begin = chance.randrange(len(other))
    piece = other[begin : begin + chance.randrange(1, 400)]
    place = _place(data, chance)
    data[place : place + chance.choice((0, len(piece)))] = piece


def _repeat(data: bytearray, chance: random.Random, _others: list[bytes]) -> None:
    place = _place(data, chance)
    piece = data[place : place + chance.randrange(1, 200)]
    data[place:place] = piece * chance.choice((1, 10, 100))


def _remove(data: bytearray, chance: random.Random, _others: list[bytes]) -> None:
    place = _place(data, chance)
    del data[place : place + chance.randrange(1, 200)]


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.copy().save(buffer, kind, **options)  # an image remembers how it was saved last
    return buffer.getvalue()


def _packed_pdf() -> bytes:
    """One with object streams, compressed content, a font and a form."""
    buffer = io.BytesIO()
    with pikepdf.new() as document:
        page = document.add_blank_page(page_size=(200, 200))
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.Contents = document.make_stream(b"BT /F1 20 Tf 10 100 Td (quick brown fox) Tj ET")
        field = pikepdf.Dictionary(
            FT=pikepdf.Name.Tx, T="a", V="b", Type=pikepdf.Name.Annot, Rect=[10, 10, 90, 40],
            Subtype=pikepdf.Name.Widget,
        )  # fmt: skip
        fields = pikepdf.Array([document.make_indirect(field)])
        page.Annots = fields
        document.Root.AcroForm = pikepdf.Dictionary(Fields=fields)
        document.save(
            buffer,
            object_stream_mode=pikepdf.ObjectStreamMode.generate,
            compress_streams=True,
            deterministic_id=True,
        )
    return buffer.getvalue()
