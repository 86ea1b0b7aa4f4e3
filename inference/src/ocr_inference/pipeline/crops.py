"""Parts of a page as pictures of their own."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow

from ocr_inference.pipeline.page import Image
from ocr_inference.pipeline.picture import encode_picture

LONGEST_SIDE = 1600
"""Pixels of a crop; what is larger is made smaller."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Crop:
    """A JPEG or PNG file among others, from byte `offset`; its size in pixels."""

    offset: int
    length: int
    media_type: str
    width: int
    height: int


def write_crops(
    image: Image, boxes: Sequence[Box], most_bytes: int, out: BinaryIO
) -> list[Crop | None]:
    """Write what is in the boxes to `out`, one file after the other. None for what comes when
    `most_bytes` are written. The boxes are whole pixels of the image, and none is empty."""
    crops: list[Crop | None] = []
    for left, top, right, bottom in boxes:
        part = _scaled(image[top:bottom, left:right])
        file = io.BytesIO()
        encode_picture(part, file)
        data = file.getvalue()
        if out.tell() + len(data) > most_bytes:
            break
        kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
        crops.append(Crop(out.tell(), len(data), kind, part.shape[1], part.shape[0]))
        out.write(data)
    return crops + [None] * (len(boxes) - len(crops))


def _scaled(image: Image) -> Image:
    if max(image.shape[:2]) <= LONGEST_SIDE:
        return image
    picture = Pillow.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return np.asarray(picture)
