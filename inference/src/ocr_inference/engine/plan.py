"""A page whose blocks a VLM server reads.

An engine with the backend `vllm` or `external` holds no VLM. `plan` finds the blocks of a page and
writes what is to be read into one file; the HTTP process has the server read it, many blocks of
many pages at a time; `finish` makes the page of the answers. Nothing is kept between the two, so
that another child may finish what one has planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_TOKENS = 4096
"""PaddleX's own limit for a block."""

LEAST_TOKENS = 256
PIXELS_PER_TOKEN = 64
"""No print is denser: eight by eight pixels for a token. Ends a model that repeats itself on a
small block after seconds instead of a minute."""

MOST_ASPECT = 200
"""The models' image processors refuse what is longer: rulings, never text."""

PROMPTS = {
    "ocr": "OCR:",
    "table": "Table Recognition:",
    "formula": "Formula Recognition:",
    "chart": "Chart Recognition:",
    "seal": "Seal Recognition:",
    "spotting": "Spotting:",
}
"""What PaddleOCR-VL was trained to be asked."""


@dataclass(frozen=True, slots=True)
class VlmBlock:
    """What is asked of the server: a JPEG in the crops file, from byte `offset`, and a prompt."""

    offset: int
    length: int
    prompt: str
    max_tokens: int
    min_pixels: int
    max_pixels: int
    """The server scales the picture to so many pixels."""
    keep_special_tokens: bool = False


@dataclass(frozen=True, slots=True)
class PagePlan:
    """`state` is what `finish` needs to know again, as JSON."""

    blocks: tuple[VlmBlock, ...]
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """`confidence` is in 0..1, None where the server gives no probabilities."""

    text: str
    confidence: float | None = None


def most_tokens(width: int, height: int) -> int:
    """How many tokens a block of so many pixels can hold at most."""
    return min(MOST_TOKENS, LEAST_TOKENS + width * height // PIXELS_PER_TOKEN)


def readable(width: int, height: int) -> bool:
    return max(width, height) <= MOST_ASPECT * min(width, height)
