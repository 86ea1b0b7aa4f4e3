"""A page to measure with: an A4 sheet of print, the same on every machine."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE = (1654, 2339)
"""A4 at 200 dpi."""

_MARGIN, _STEP, _SIZE_OF_PRINT = 165, 46, 30
_PRINT = (
    "A reading service is a large program. It copies a model of two gigabytes from a disk or a "
    "network, prepares it, reads a first page to warm up and only then opens its door. Whoever "
    "supervises it has to choose a moment at which patience ends. Chosen too early, healthy "
    "services are stopped and begin again; chosen too late, a broken one stays broken for hours."
)
_WORDS_IN_A_LINE = 12


def write_sample(path: Path) -> None:
    """44 lines of print in Pillow's own font, as a PNG."""
    sheet = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_SIZE_OF_PRINT)
    every = _PRINT.split()
    for row, top in enumerate(range(_MARGIN, _SIZE[1] - _MARGIN, _STEP)):
        begin = row * _WORDS_IN_A_LINE
        words = (every[(begin + word) % len(every)] for word in range(_WORDS_IN_A_LINE))
        draw.text((_MARGIN, top), " ".join(words), fill="black", font=font)
    sheet.save(path, dpi=(200, 200))
