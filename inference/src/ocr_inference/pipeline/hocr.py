"""hOCR 1.2: XHTML with a page's blocks, lines and words, each with its box.

http://kba.github.io/hocr-spec/1.2/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from ocr_inference.pipeline.layout import blocks_of, placed_lines, whole
from ocr_inference.pipeline.page import BBox, Block, ConfidenceSource, Line, Page
from ocr_inference.pipeline.plain import Origin, clean

_AREAS = {
    "table": "ocr_table",
    "image": "ocr_image",
    "header": "ocr_header",
    "footer": "ocr_footer",
    "page_number": "ocr_pageno",
}
"""Block types that hOCR has a class for; every other block is a content area."""

_SEPARATORS = re.compile(r'["\\;]')
"""What parts properties; readers do not agree on how it is quoted."""

_CAPABILITIES = " ".join(
    ("ocr_page", "ocr_carea", "ocr_par", "ocr_line", "ocrx_word", "ocrp_wconf", *_AREAS.values())
)


def as_hocr(pages: Sequence[Page], origin: Origin) -> str:
    """One XHTML document with all pages. A page that failed is there, and empty."""
    code = quoteattr(origin.language)
    language = f" xml:lang={code} lang={code}" if origin.language else ""
    head = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" \
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"{language}>
<head>
<title>{escape(clean(origin.file_name))}</title>
<meta http-equiv="Content-Type" content="text/html; charset=utf-8" />
<meta name="ocr-system" content={quoteattr(clean(origin.software))} />
<meta name="ocr-number-of-pages" content="{len(pages)}" />
<meta name="ocr-capabilities" content="{_CAPABILITIES}" />
</head>
<body>
"""
    return "".join((head, *(_page(page, origin) for page in pages), "</body>\n</html>\n"))


def _page(page: Page, origin: Origin) -> str:
    parts = [
        f'<div class="ocr_page" id="page_{page.number}" title="'
        f"image &quot;{escape(_SEPARATORS.sub('_', clean(origin.file_name)))}&quot;; "
        f"bbox 0 0 {page.width} {page.height}; ppageno {page.number - 1}; "
        f'scan_res {page.dpi} {page.dpi}">\n'
    ]
    for number, block in enumerate(blocks_of(page), start=1):
        parts.extend(_block(page, f"{page.number}_{number}", block))
    parts.append("</div>\n")
    return "".join(parts)


def _block(page: Page, identifier: str, block: Block) -> Iterator[str]:
    area = _AREAS.get(block.type, "ocr_carea")
    box = _bbox(block.bbox, page)
    yield f'<div class="{area}" id="block_{identifier}" title="{box}">\n'
    lines = list(placed_lines(block))
    if lines:
        yield f'<p class="ocr_par" id="par_{identifier}" title="{box}">\n'
        for number, line in enumerate(lines, start=1):
            yield _line(page, f"{identifier}_{number}", line)
        yield "</p>\n"
    yield "</div>\n"


def _line(page: Page, identifier: str, line: Line) -> str:
    words = " ".join(
        f'<span class="ocrx_word" id="word_{identifier}_{number}" '
        f'title="{_bbox(word.bbox, page)}{_confidence(page, word.confidence)}">'
        f"{escape(word.text)}</span>"
        for number, word in enumerate(line.words, start=1)
    )
    box = _bbox(line.bbox, page)
    return f'<span class="ocr_line" id="line_{identifier}" title="{box}">{words}</span>\n'


def _bbox(box: BBox, page: Page) -> str:
    return "bbox {} {} {} {}".format(*whole(box, page))


def _confidence(page: Page, confidence: float) -> str:
    known = page.text is not None and page.text.confidence_source is not ConfidenceSource.NONE
    return f"; x_wconf {round(confidence * 100)}" if known else ""
