"""A raster image as a file that can go into a PDF as it is: JPEG or PNG.

The client's own file where the formats allow it. Everything else becomes one of the two: PNG where
there are few colours, as in what was printed, JPEG for photographs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image as Pillow

from ocr_inference.pipeline.bgr import to_pillow
from ocr_inference.pipeline.images import opened, orientation_of
from ocr_inference.pipeline.page import Image

_FEW_COLOURS = 256
_JPEG_QUALITY = 90


def copy_picture(path: Path, kind: str, out: Path) -> bool:
    """Copy a file that can be a picture in a PDF as it is; False where it cannot."""
    with opened(path, kind) as image:
        if kind == "JPEG":
            # CMYK is stored inverted by some and not by others.
            fits = image.mode in ("L", "RGB")
        else:
            plain = image.mode in ("1", "L", "P", "RGB") and "transparency" not in image.info
            fits = kind == "PNG" and plain and not image.info.get("interlace")
            # What turns the picture may be at the end of the file.
            fits = fits and image.load() is not None and orientation_of(image) == 1
    if fits:
        shutil.copyfile(path, out)
    return fits


def encode_picture(image: Image, out: Path | BinaryIO) -> None:
    """Write an image as what is small and sharp enough for it."""
    blue, green, red = (image[:, :, channel] for channel in range(3))
    grey = bool(np.array_equal(blue, green) and np.array_equal(green, red))
    picture = Pillow.fromarray(np.ascontiguousarray(blue)) if grey else to_pillow(image)
    colours = picture.getcolors(_FEW_COLOURS)
    if colours is None or (grey and len(colours) > _FEW_COLOURS // 2):
        picture.save(out, "JPEG", quality=_JPEG_QUALITY)
        return
    if grey and {value for _, value in colours} <= {0, 255}:
        picture = picture.convert("1")
    picture.save(out, "PNG")
