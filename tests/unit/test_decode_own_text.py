"""A PDF page's own text: placed as an engine places it, and believed only where it is to be."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from ocr_inference.pipeline.limits import Limits
from ocr_inference.pipeline.page import Line, Page, PageText
from ocr_inference.pipeline.pdf_text import own_text
from ocr_inference.pipeline.searchable import write_searchable
from ocr_inference.pipeline.text_layer import read_layers, write_layers

LIMITS = Limits(10, 10**7)
SAID = b"BT 1 0 0 1 50 700 Tm /F 20 Tf (A page with words) Tj 0 -30 Td (of its own to read) Tj ET"


def a_pdf(path: Path, content: bytes = SAID, picture: float = 0.0, **keys: object) -> Path:
    """One page of 600 x 800 points; `picture` is the share of it that a picture covers."""
    with pikepdf.Pdf.new() as pdf:
        pdf.add_blank_page(page_size=(600, 800))
        page = pdf.pages[0]
        font = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        image = pdf.make_stream(
            Image.new("L", (8, 8), 200).tobytes(),
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Image,
            Width=8,
            Height=8,
            ColorSpace=pikepdf.Name.DeviceGray,
            BitsPerComponent=8,
        )
        page.Resources = pikepdf.Dictionary(
            Font=pikepdf.Dictionary(F=font), XObject=pikepdf.Dictionary(I=image)
        )
        drawn = b"q 600 0 0 %f 0 0 cm /I Do Q " % (800 * picture) if picture else b""
        page.Contents = pdf.make_stream(drawn + content)
        for name, value in keys.items():
            page.obj[f"/{name}"] = value
        pdf.save(path)
    return path


def taken(path: Path, trusted: bool = False) -> PageText | None:
    return own_text(path, 1, 144, LIMITS, trusted)[0]


def lines_of(text: PageText | None) -> list[Line]:
    assert text is not None
    return [line for block in text.blocks for line in block.lines]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_each_word_is_where_it_is_seen(tmp_path: Path, rotation: int) -> None:
    path = a_pdf(tmp_path / "a.pdf", Rotate=rotation, CropBox=pikepdf.Array([40, 600, 340, 760]))
    text, width, height, dpi, turned = own_text(path, 1, 144, LIMITS, trusted=True)
    assert (width, height) == ((600, 320) if rotation % 180 == 0 else (320, 600))
    assert (dpi, turned) == (144, rotation)
    assert text is not None
    words = {word.text: word.bbox for line in lines_of(text) for word in line.words}
    assert words.keys() == {"A", "page", "with", "words", "of", "its", "own", "to", "read"}
    with contextlib.closing(pypdfium2.PdfDocument(path)) as document:
        # Where the page's first letter begins.
        page = document[0]
        x, y = page.render(scale=2).get_posconv(page).to_bitmap(50, 700)
    first = words["A"]
    assert first[0] - 2 <= x <= first[2] + 2
    assert first[1] - 2 <= y <= first[3] + 2
    assert max(first[2] - first[0], first[3] - first[1]) < 60
    for box in words.values():
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height


def test_text_that_is_drawn_is_believed(tmp_path: Path) -> None:
    text = taken(a_pdf(tmp_path / "a.pdf"))
    assert [line.text for line in lines_of(text)] == ["A page with words", "of its own to read"]
    assert text is not None
    assert text.own


@pytest.mark.parametrize(
    ("content", "picture"),
    [
        (b"", 0.0),
        (b"BT 50 700 Td /F 20 Tf (12.03.24) Tj ET", 0.0),  # a stamp
        (SAID, 0.9),  # a caption to a scan
        (SAID.replace(b"/F 20 Tf", b"3 Tr /F 20 Tf"), 0.0),  # another program's reading
        (b"BT 50 700 Td /F 20 Tf (" + bytes(range(1, 8)) * 9 + b") Tj ET", 0.0),  # no encoding
    ],
)
def test_text_that_looks_wrong_is_not_believed_but_where_all_is(
    tmp_path: Path, content: bytes, picture: float
) -> None:
    path = a_pdf(tmp_path / "a.pdf", content, picture)
    assert taken(path) is None
    assert taken(path, trusted=True) is not None


def test_own_text_is_not_written_a_second_time(tmp_path: Path) -> None:
    path = a_pdf(tmp_path / "a.pdf")
    page = Page(1, 1200, 1600, 144, text=taken(path))
    write_layers(tmp_path / "layers", [page])
    (layer,) = read_layers(tmp_path / "layers")
    assert layer.lines == []
    write_searchable(path, tmp_path / "layers", [], tmp_path / "out.pdf")
    assert len(lines_of(taken(tmp_path / "out.pdf"))) == 2
