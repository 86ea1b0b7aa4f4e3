"""A page to read before the first client's: no client pays for what is made at first use."""

from __future__ import annotations

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from ocr_inference.engine.base import Engine, EngineError, ReadOptions
from ocr_inference.pipeline.bgr import from_pillow
from ocr_inference.pipeline.page import Image

_SIZE = (800, 240)
_LINES = ("Warming up", "One small page", "is read before the first")


def page() -> Image:
    """A few lines of print in Pillow's own font."""
    sheet = Pillow.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=40)
    for row, line in enumerate(_LINES):
        draw.text((40, 25 + 70 * row), line, fill="black", font=font)
    return from_pillow(sheet)


def warm(engine: Engine, readers: int = 1) -> None:
    """Read it, as one of so many; an engine that finds nothing on it would find nothing on a
    client's page either."""
    read = engine.read(page(), ReadOptions(readers=readers), None)
    if not any(block.text.strip() for block in read.blocks):
        raise EngineError("The engine loaded but read nothing on its warm-up page.")
