"""Draw the example pages and write beside each what it says.

    python examples/pages/make.py [FOLDER]

The same input gives the same pixels. Needs Pillow, numpy and the Debian package fonts-dejavu-core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from texts import ARTICLE, LETTER, REPORT, Columns, Lines, Part, Prose, Table, Title

FONTS = Path("/usr/share/fonts/truetype/dejavu")
SERIF, BOLD = "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"

DPI = 200
A4 = (1654, 2339)
MARGIN = 200
POINTS = 10.5
LEADING = 1.45
"""Distance of lines in sizes of the font."""

GUTTER = 70
"""Pixels between two columns."""

PAPER, INK = 244, 38
GREYS = 16
"""Levels of grey that are kept, as a scanner's text mode does; noise in all 256 takes megabytes."""

PRINTED = time.struct_time((2025, 6, 1, 0, 0, 0, 6, 152, 0))


class Sheet:
    """One page being printed; `truth` is what stands on it, in reading order."""

    def __init__(self) -> None:
        self.image = Image.new("L", A4, PAPER)
        self.truth: list[str] = []
        self._draw = ImageDraw.Draw(self.image)
        self._size = round(POINTS * DPI / 72)
        self._body = ImageFont.truetype(FONTS / SERIF, self._size)
        self._bold = ImageFont.truetype(FONTS / BOLD, round(self._size * 1.25))

    def print(self, parts: Iterable[Part]) -> None:
        self._column(parts, MARGIN, A4[0] - MARGIN, MARGIN)

    def _column(self, parts: Iterable[Part], left: int, right: int, top: float) -> float:
        step = self._size * LEADING
        for part in parts:
            match part:
                case Title(text):
                    top = self._lines(self._wrap(text, self._bold, right - left), left, top, True)
                case Prose(text):
                    top = self._lines(self._wrap(text, self._body, right - left), left, top, False)
                case Lines(lines):
                    top = self._lines(list(lines), left, top, False)
                case Table():
                    top = self._table(part, left, right, top)
                case Columns():
                    middle = (left + right) // 2
                    ends = [
                        self._column(part.left, left, middle - GUTTER // 2, top),
                        self._column(part.right, middle + GUTTER // 2, right, top),
                    ]
                    top = max(ends)
            top += step * 0.7
        return top

    def _wrap(self, text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
        lines, line = [], ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = word
            else:
                line = longer
        return [*lines, line]

    def _lines(self, lines: list[str], left: int, top: float, bold: bool) -> float:
        font = self._bold if bold else self._body
        for line in lines:
            self._draw.text((left, round(top)), line, fill=INK, font=font)
            top += font.size * LEADING
        self.truth.append("\n".join(lines))
        return top

    def _table(self, table: Table, left: int, right: int, top: float) -> float:
        for row in table.rows:
            for cell, place in zip(row, table.places, strict=True):
                at = left + round(place * (right - left))
                anchor = "ra" if place == 1.0 else "la"
                self._draw.text((at, round(top)), cell, fill=INK, font=self._body, anchor=anchor)
            top += self._size * LEADING
        self.truth.append("\n".join(" ".join(filter(None, row)) for row in table.rows))
        return top


def scanned(image: Image.Image, seed: int) -> Image.Image:
    """As it comes from a flatbed: soft edges, uneven light, dust, few greys."""
    random = np.random.default_rng(seed)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(0.7)), dtype=np.float32)
    height, width = soft.shape
    light = np.linspace(0, 9, width)[None, :] + np.linspace(5, 0, height)[:, None]
    soft = soft - light + random.normal(0, 2.5, soft.shape)
    for y, x in random.integers((0, 0), (height - 2, width - 2), (250, 2)):
        soft[y : y + 2, x : x + 2] -= random.uniform(20, 90)
    step = 255 / (GREYS - 1)
    return Image.fromarray((np.clip(np.round(soft / step), 0, GREYS - 1) * step).astype(np.uint8))


def page(parts: Iterable[Part], seed: int) -> tuple[Image.Image, str]:
    sheet = Sheet()
    sheet.print(parts)
    return scanned(sheet.image, seed), "\n\n".join(sheet.truth)


def make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, parts, seed in (("letter-en", LETTER, 1), ("article-ru", ARTICLE, 2)):
        image, truth = page(parts, seed)
        greys = image.quantize(GREYS, dither=Image.Dither.NONE)
        greys.save(folder / f"{name}.png", optimize=True, dpi=(DPI, DPI))
        (folder / f"{name}.txt").write_text(truth + "\n")
    pages = [page(parts, seed) for seed, parts in enumerate(REPORT, start=3)]
    first, *others = (image for image, _ in pages)
    first.save(
        folder / "report-2p.pdf",
        save_all=True,
        append_images=others,
        resolution=DPI,
        quality=40,
        title="How long does a start take?",
        creationDate=PRINTED,
        modDate=PRINTED,
    )
    (folder / "report-2p.txt").write_text("\f".join(truth for _, truth in pages) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
