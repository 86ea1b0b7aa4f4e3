"""Scans of many pages, all different: equal ones are read once."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from PIL import Image

_EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pages"
sys.path.append(str(_EXAMPLES))

from make import DPI, Sheet, scanned  # noqa: E402
from texts import Prose, Title  # noqa: E402

_PARAGRAPHS = 5
_WORDS = 90


def scans(count: int, seed: int = 1) -> list[Image.Image]:
    """A4 at 200 dpi, each with its own order of the words of the English letter."""
    words = (_EXAMPLES / "letter-en.txt").read_text().split()
    return [_scan(number, words, random.Random(seed * 1000 + number)) for number in range(count)]


def as_pdf(pages: list[Image.Image], path: Path) -> None:
    first, *others = pages
    first.save(path, "PDF", save_all=True, append_images=others, resolution=DPI, quality=40)


def _scan(number: int, words: list[str], chance: random.Random) -> Image.Image:
    sheet = Sheet()
    prose = [Prose(" ".join(chance.choices(words, k=_WORDS))) for _ in range(_PARAGRAPHS)]
    sheet.print([Title(f"Page {number + 1}"), *prose])
    return scanned(sheet.image, number)
