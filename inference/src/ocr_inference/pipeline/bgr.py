"""Between Pillow's pictures and ours, whose channels are the other way round.

Pillow turns them while it packs, in a sixth of the time that numpy takes to copy a view from behind
(10 and 60 ms for A4 at 200 dpi).
"""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from ocr_inference.pipeline.page import Image


def from_pillow(picture: Pillow.Image) -> Image:
    """Of an RGB picture; read-only."""
    width, height = picture.size
    packed = picture.tobytes("raw", "BGR")
    return np.frombuffer(packed, np.uint8).reshape(height, width, 3)


def to_pillow(image: Image) -> Pillow.Image:
    """An RGB picture. The image may be a part of a larger one."""
    height, width = image.shape[:2]
    return Pillow.frombytes("RGB", (width, height), np.ascontiguousarray(image), "raw", "BGR")
