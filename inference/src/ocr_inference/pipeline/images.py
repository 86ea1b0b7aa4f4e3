"""Raster images: sizes from the header, then one upright BGR frame on white."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.bgr import from_pillow, to_pillow
from ocr_inference.pipeline.limits import Limits, decode_failed, too_many_pixels
from ocr_inference.pipeline.page import Image, Rendered

Size = tuple[int, int]

_BELIEVABLE_DPI = (72.0, 1200.0)
_BELIEVABLE_INCHES = (1.0, 24.0)
"""Longer side of a sheet. Cameras write 72 dpi into everything: sheets of a metre and a half."""

_ORIENTATION = 0x0112
_TURNED = {3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
"""Exif orientation to degrees clockwise; 2, 4, 5 and 7 are mirrored from left to right before."""

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262


def frame_sizes(path: Path, kind: str, most: int) -> list[Size]:
    """Width and height of the frames, at most `most` of them; only TIFF has more than one.

    Stopping matters: 2.6 MB hold 20,000 frames, and walking them takes seconds.
    """
    if kind == "WEBP":
        return [_webp_size(path)]
    with opened(path, kind) as image:
        sizes = [image.size]
        while kind == "TIFF" and len(sizes) < most:
            try:
                image.seek(len(sizes))
            except EOFError:
                break
            sizes.append(image.size)
    return sizes


def render_frame(path: Path, kind: str, number: int, dpi: int, limits: Limits) -> Rendered:
    """Decode frame `number`; the resolution is the file's own where it is believable."""
    if kind == "WEBP":
        _check(number, _webp_size(path), limits)
    with opened(path, kind) as image:
        if number > 1:
            image.seek(number - 1)
        _check(number, image.size, limits)
        own = _resolution(image)
        rotation = _rotation(image)  # before: Pillow turns a TIFF while it loads it
        image.load()
        rotation = rotation or _rotation(image)  # after: a PNG may say it at its end
        ImageOps.exif_transpose(image, in_place=True)  # the other way always makes a copy
        return Rendered(from_pillow(_flatten(image)), own or dpi, rotation)


def orientation_of(image: Pillow.Image) -> int:
    """From 1 (upright) to 8, as Exif has it."""
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def as_jpeg(image: Image, side: int) -> bytes:
    """The image as a JPEG, made smaller where a side is longer than `side` pixels."""
    picture = to_pillow(image)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _rotation(image: Pillow.Image) -> int:
    return _TURNED.get(orientation_of(image), 0)


def _check(number: int, size: Size, limits: Limits) -> None:
    if not limits.fits(*size):
        raise too_many_pixels(number, *size, limits)


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Pillow.Image]:
    """A file of this format and no other; whatever is wrong with it is a `PublicError`."""
    # Our own limit is stricter and is checked first; Pillow's would only warn between 89 and
    # 179 megapixels and then raise something that the client could not tell from a broken file.
    Pillow.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pillow.open(path, formats=[kind]) as image:
                yield image
    except PublicError:
        raise
    except MemoryError as error:
        raise PublicError(
            422, "too_many_pixels", "The image needs more memory than one page may have."
        ) from error
    except Exception as error:
        # Decoders raise whatever a broken file makes them raise: OSError, SyntaxError, IndexError.
        raise decode_failed("The image is damaged or not complete.") from error


def _resolution(image: Pillow.Image) -> int | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    low, high = _BELIEVABLE_DPI
    if not (low <= across <= high and low <= down <= high):
        return None
    if not math.isclose(across, down, rel_tol=0.05):
        return None
    shortest, longest = _BELIEVABLE_INCHES
    return round(across) if shortest <= max(image.size) / across <= longest else None


def _flatten(image: Pillow.Image) -> Pillow.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        samples = np.asarray(image)
        if _is_inverted(image):
            samples = samples.max() - samples
        return Pillow.fromarray(_stretched(samples)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Pillow.new("RGBA", layer.size, (255, 255, 255, 255))
        white.alpha_composite(layer)
        return white.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _is_inverted(image: Pillow.Image) -> bool:
    # Pillow inverts "white is zero" itself for 8 bits and fewer, not for 16.
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _stretched(samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """To 8 bits by the values that are there: 16-bit files often hold 10 or 12 bits only."""
    numbers = np.nan_to_num(samples.astype(np.float32), posinf=0.0, neginf=0.0)
    low = min(0.0, float(numbers.min()))
    span = float(numbers.max()) - low
    if span <= 0.0:
        return np.zeros(samples.shape, np.uint8)
    return ((numbers - low) * (255.0 / span)).astype(np.uint8)


def _webp_size(path: Path) -> Size:
    """From the first chunk's header, because Pillow allocates two canvases when it opens a WEBP.

    https://developers.google.com/speed/webp/docs/riff_container
    """
    with path.open("rb") as file:
        head = file.read(30)
    body = head[20:]
    match head[12:16]:
        case b"VP8X" if len(body) >= 10:
            return _little(body[4:7]) + 1, _little(body[7:10]) + 1
        case b"VP8L" if len(body) >= 5:
            bits = _little(body[1:5])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 " if len(body) >= 10:
            return _little(body[6:8]) & 0x3FFF, _little(body[8:10]) & 0x3FFF
        case _:
            raise decode_failed("The image is damaged or not complete.")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
