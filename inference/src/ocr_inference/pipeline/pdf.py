"""PDF pages: sizes without loading a page, then one page rendered at a resolution that fits.

PDFium is not thread-safe; the decode child has one thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.limits import Limits, decode_failed, too_many_pixels
from ocr_inference.pipeline.page import Rendered

Points = tuple[float, float]

POINTS_PER_INCH = 72
MIN_DPI = 72
"""Below it text is not readable; a page that does not fit at this resolution is refused."""


def page_count(path: Path) -> int:
    with opened_pdf(path) as document:
        count = len(document)
    if count < 1:
        raise decode_failed("The PDF has no pages.")
    return count


def pixels(path: Path, numbers: tuple[int, ...], dpi: int, limits: Limits) -> tuple[int, ...]:
    """What rendering these pages will give. Nothing is rendered, and a page that does not fit at
    any readable resolution is refused."""
    with opened_pdf(path) as document:
        sizes = [(number, document.get_page_size(number - 1)) for number in numbers]
    return tuple(
        math.prod(pixel_size(size, fitting_dpi(number, size, dpi, limits)))
        for number, size in sizes
    )


def fitting_dpi(number: int, size: Points, dpi: int, limits: Limits) -> int:
    """The largest resolution up to `dpi` at which the page is within the limits."""
    width, height = size
    if not (width > 0 and height > 0 and math.isfinite(width * height)):
        raise decode_failed(f"Page {number} of the PDF has no size.")
    inches = max(width, height) / POINTS_PER_INCH
    area = width * height / POINTS_PER_INCH**2
    fit = math.floor(min(dpi, limits.max_side / inches, math.sqrt(limits.max_pixels / area)))
    # The renderer rounds both sides up, which may be a pixel too many.
    while fit >= MIN_DPI and not limits.fits(*pixel_size(size, fit)):
        fit -= 1
    if fit < min(MIN_DPI, dpi):
        raise too_many_pixels(number, *pixel_size(size, MIN_DPI), limits)
    return fit


def render_page(path: Path, number: int, dpi: int, limits: Limits) -> Rendered:
    with opened_pdf(path) as document:
        if document.get_formtype() != pdfium_c.FORMTYPE_NONE:
            # Without it what was filled into a form's fields is not drawn.
            document.init_forms()
        fit = fitting_dpi(number, document.get_page_size(number - 1), dpi, limits)
        with closing(document[number - 1]) as page:
            bitmap = page.render(
                scale=fit / POINTS_PER_INCH,
                force_bitmap_format=pdfium_c.FPDFBitmap_BGR,
                fill_color=(255, 255, 255, 255),
                limit_image_cache=True,
            )
            with closing(bitmap):
                # A copy, because the view's memory is PDFium's and its rows are padded.
                image = np.array(bitmap.to_numpy(), copy=True, order="C")
                return Rendered(image, fit, page.get_rotation())


def pixel_size(size: Points, dpi: int) -> tuple[int, int]:
    scale = dpi / POINTS_PER_INCH
    return max(1, math.ceil(size[0] * scale)), max(1, math.ceil(size[1] * scale))


@contextmanager
def opened_pdf(path: Path) -> Iterator[pdfium.PdfDocument]:
    """The document; whatever is wrong with it is a `PublicError`."""
    try:
        with closing(pdfium.PdfDocument(path)) as document:
            yield document
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise PublicError(
                422, "encrypted_pdf", "The PDF is encrypted; send it without a password."
            ) from error
        raise decode_failed("The PDF is damaged or not complete.") from error
    except MemoryError as error:
        raise PublicError(
            422, "too_many_pixels", "The page needs more memory than one page may have."
        ) from error
