"""ALTO 4.4: XML with a page's blocks, lines and words, boxes in pixels.

https://www.loc.gov/standards/alto/
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from ocr_inference.pipeline.layout import blocks_of, placed_lines
from ocr_inference.pipeline.page import BBox, Block, ConfidenceSource, Line, Page
from ocr_inference.pipeline.plain import Origin, clean

_NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-4.xsd"
_PICTURES = frozenset(("image", "chart", "seal"))
_PLAIN = "text"


def as_alto(pages: Sequence[Page], origin: Origin) -> str:
    """One ALTO document with all pages. A page that failed is there, and empty."""
    kinds = sorted({block.type for page in pages for block in blocks_of(page)} - {_PLAIN})
    tags = {kind: f"type_{number}" for number, kind in enumerate(kinds, start=1)}
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<alto xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_SCHEMA}" SCHEMAVERSION="4.4">\n',
        _text(_description(origin)),
        _text(_tags(tags)) if tags else "",
        "<Layout>\n",
        # Page by page: a document of a thousand as one tree would take gigabytes.
        *(_text(_page(page, origin, tags)) for page in pages),
        "</Layout>\n</alto>\n",
    ]
    return "".join(parts)


def _text(element: Element) -> str:
    return tostring(element, encoding="unicode") + "\n"


def _description(origin: Origin) -> Element:
    description = Element("Description")
    SubElement(description, "MeasurementUnit").text = "pixel"
    source = SubElement(description, "sourceImageInformation")
    SubElement(source, "fileName").text = clean(origin.file_name)
    processing = SubElement(description, "Processing", ID="ocr")
    SubElement(processing, "processingCategory").text = "contentGeneration"
    software = SubElement(processing, "processingSoftware")
    SubElement(software, "softwareName").text = clean(origin.software)
    return description


def _tags(tags: dict[str, str]) -> Element:
    element = Element("Tags")
    for kind, identifier in tags.items():
        SubElement(element, "LayoutTag", ID=identifier, LABEL=kind)
    return element


def _page(page: Page, origin: Origin, tags: dict[str, str]) -> Element:
    size = {"WIDTH": str(page.width), "HEIGHT": str(page.height)}
    number = str(page.number)
    element = Element("Page", {"ID": f"page_{number}", "PHYSICAL_IMG_NR": number, **size})
    element.set("PROCESSING", "ocr")
    if origin.language:
        element.set("LANG", origin.language)
    space = SubElement(element, "PrintSpace", {"HPOS": "0", "VPOS": "0", **size})
    for count, block in enumerate(blocks_of(page), start=1):
        _add_block(space, page, f"{number}_{count}", block, tags)
    return element


def _add_block(
    space: Element, page: Page, identifier: str, block: Block, tags: dict[str, str]
) -> None:
    lines = list(placed_lines(block))
    if not lines and block.type not in _PICTURES:
        return
    name = "TextBlock" if lines else "Illustration"
    element = _placed(space, name, f"block_{identifier}", block.bbox)
    if block.type in tags:
        element.set("TAGREFS", tags[block.type])
    known = page.text is not None and page.text.confidence_source is not ConfidenceSource.NONE
    for number, line in enumerate(lines, start=1):
        _add_line(element, f"{identifier}_{number}", line, known)


def _add_line(block: Element, identifier: str, line: Line, known: bool) -> None:
    element = _placed(block, "TextLine", f"line_{identifier}", line.bbox)
    before: float | None = None
    for number, word in enumerate(line.words, start=1):
        left, top, right, _ = word.bbox
        if before is not None:
            width = max(0.0, left - before)
            place = {"HPOS": f"{left - width:.1f}", "VPOS": f"{top:.1f}", "WIDTH": f"{width:.1f}"}
            SubElement(element, "SP", place)
        string = _placed(element, "String", f"word_{identifier}_{number}", word.bbox)
        string.set("CONTENT", word.text)
        if known:
            string.set("WC", f"{min(1.0, max(0.0, word.confidence)):.4f}")
        before = right


def _placed(parent: Element, name: str, identifier: str, box: BBox) -> Element:
    left, top, right, bottom = box
    place = {
        "ID": identifier,
        "HPOS": f"{left:.1f}",
        "VPOS": f"{top:.1f}",
        "WIDTH": f"{max(0.0, right - left):.1f}",
        "HEIGHT": f"{max(0.0, bottom - top):.1f}",
    }
    return SubElement(parent, name, place)
