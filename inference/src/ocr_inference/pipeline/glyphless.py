"""A PDF font without shapes: text that is found, marked and copied, and never seen.

Every character has a code of its own and says what it is (`ToUnicode`), so every script is found,
and no reader looks for a font that it does not have.
"""

from __future__ import annotations

import struct

from pikepdf import Array, Dictionary, Name, Object, Pdf

WIDTH = 0.5
"""Of every character, in heights of the text."""

_UNITS = 1000
_ADVANCE = round(WIDTH * _UNITS)
_LAST_CODE = 0xFFFF
_MOST_ENTRIES = 100
"""Of one block of a CMap (Adobe Technical Note 5014)."""


class _Codes(dict[str, bytes]):
    """Each character's code in hexadecimal, given when it is first met."""

    def __missing__(self, char: str) -> bytes:
        # 65,535 different characters are in no document; the last code would stand for the rest.
        code = self[char] = b"%04X" % min(len(self) + 1, _LAST_CODE)
        return code


class GlyphlessFont:
    """Collects the characters of a document; `add_to` when all are known."""

    def __init__(self) -> None:
        self._codes = _Codes()

    def encoded(self, text: str) -> bytes:
        """`text` as a hexadecimal string of a content stream."""
        return b"<%s>" % b"".join(map(self._codes.__getitem__, text))

    def add_to(self, pdf: Pdf) -> Object:
        descriptor = Dictionary(
            Type=Name.FontDescriptor,
            FontName=Name.GlyphLessFont,
            Flags=4,  # symbolic: no encoding of the reader's applies
            FontBBox=Array([0, 0, _ADVANCE, _UNITS]),
            Ascent=_UNITS,
            Descent=0,
            CapHeight=_UNITS,
            ItalicAngle=0,
            StemV=80,
            FontFile2=pdf.make_stream(_true_type(), Length1=len(_true_type())),
        )
        descendant = Dictionary(
            Type=Name.Font,
            Subtype=Name.CIDFontType2,
            BaseFont=Name.GlyphLessFont,
            CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
            FontDescriptor=pdf.make_indirect(descriptor),
            DW=_ADVANCE,
            CIDToGIDMap=pdf.make_stream(b"\0\1" * (len(self._codes) + 1)),
        )
        return pdf.make_indirect(
            Dictionary(
                Type=Name.Font,
                Subtype=Name.Type0,
                BaseFont=Name.GlyphLessFont,
                Encoding=Name("/Identity-H"),
                DescendantFonts=Array([pdf.make_indirect(descendant)]),
                ToUnicode=pdf.make_stream(self._to_unicode()),
            )
        )

    def _to_unicode(self) -> bytes:
        parts = [
            b"/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
            b"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
            b"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
            b"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"
        ]
        entries = list(self._codes.items())
        for first in range(0, len(entries), _MOST_ENTRIES):
            some = entries[first : first + _MOST_ENTRIES]
            parts.append(b"%d beginbfchar\n" % len(some))
            parts.extend(
                b"<%s> <%s>\n" % (code, char.encode("utf-16-be").hex().upper().encode())
                for char, code in some
            )
            parts.append(b"endbfchar\n")
        parts.append(b"endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
        return b"".join(parts)


def _true_type() -> bytes:
    """The smallest TrueType font: two glyphs, and the tables a PDF must have.

    The second is a line from corner to corner: it has a height for what marks it, and no area.

    https://learn.microsoft.com/typography/opentype/spec/
    """
    version = 0x00010000
    box = (0, 0, _ADVANCE, _UNITS)
    tables = {
        b"glyf": struct.pack(">hhhhhHHBBhhhh", 1, *box, 1, 0, 1, 1, 0, _ADVANCE, 0, _UNITS),
        b"head": struct.pack(
            ">IIIIHHqqhhhhHHhhh",
            *(version, version, 0, 0x5F0F3CF5, 0, _UNITS, 0, 0),
            *(*box, 0, 8, 2, 0, 0),
        ),
        b"hhea": struct.pack(
            ">IhhhHhhhhhhhhhhhH",
            *(version, _UNITS, 0, 0, _ADVANCE, 0, 0, _ADVANCE, 1),
            *(0, 0, 0, 0, 0, 0, 0, 2),
        ),
        b"hmtx": struct.pack(">HhHh", _ADVANCE, 0, _ADVANCE, 0),
        b"loca": struct.pack(">HHH", 0, 0, 12),
        b"maxp": struct.pack(">IHHHHHH18x", version, 2, 2, 1, 0, 0, 2),
    }
    directory = struct.pack(">IHHHH", version, len(tables), 64, 2, len(tables) * 16 - 64)
    offset = len(directory) + 16 * len(tables)
    records, bodies = [], []
    for tag, body in tables.items():
        padded = body + bytes(-len(body) % 4)
        records.append(struct.pack(">4sIII", tag, _checksum(padded), offset, len(body)))
        bodies.append(padded)
        offset += len(padded)
    return b"".join((directory, *records, *bodies))


def _checksum(padded: bytes) -> int:
    words: tuple[int, ...] = struct.unpack(f">{len(padded) // 4}I", padded)
    return sum(words) & 0xFFFFFFFF
