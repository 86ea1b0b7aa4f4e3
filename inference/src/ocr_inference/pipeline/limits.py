"""What one upload may ask for, and the refusals."""

from __future__ import annotations

from dataclasses import dataclass

from ocr_inference.errors import PublicError


@dataclass(frozen=True, slots=True)
class Limits:
    """Refusals before decoding.

    `max_pixels` counts one page at its rendering resolution, `max_side` is in pixels.
    """

    max_pages: int
    max_pixels: int
    max_side: int = 16384

    def fits(self, width: int, height: int) -> bool:
        return width * height <= self.max_pixels and max(width, height) <= self.max_side


def too_many_pixels(number: int, width: int, height: int, limits: Limits) -> PublicError:
    return PublicError(
        422,
        "too_many_pixels",
        f"Page {number} has {width} x {height} pixels; at most {limits.max_pixels} pixels and "
        f"{limits.max_side} on a side are allowed.",
        page=number,
        width=width,
        height=height,
        max_pixels=limits.max_pixels,
        max_side=limits.max_side,
    )


def decode_failed(message: str) -> PublicError:
    return PublicError(400, "decode_failed", message)
