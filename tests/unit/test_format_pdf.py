"""Searchable PDF: other programs find each word where it was read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pikepdf
import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.images import render_frame
from ocr_inference.pipeline.limits import Limits
from ocr_inference.pipeline.page import (
    Block,
    ConfidenceSource,
    Line,
    Page,
    PageStatus,
    PageText,
    Word,
)
from ocr_inference.pipeline.picture import copy_picture, encode_picture
from ocr_inference.pipeline.searchable import write_searchable
from ocr_inference.pipeline.text_layer import write_layers

SCALE = 2.0
FAILED = Page(1, 0, 0, 200, PageStatus.FAILED, error="No.")
WORDS = {
    "Invoice": (60, 40, 200, 70),
    "сумма": (220, 40, 330, 70),
    "四百元": (60, 100, 160, 130),
    "مرحبا": (180, 100, 300, 130),
    "שלום": (60, 200, 160, 220),
}


def page(number: int, width: int, height: int, words: dict[str, tuple] = WORDS) -> Page:
    lines = tuple(
        Line(text, box, 0.9, words=(Word(text, box, 0.9),)) for text, box in words.items()
    )
    block = Block("text", (0, 0, width, height), "…", lines=lines)
    return Page(number, width, height, 144, text=PageText((block,), ConfidenceSource.ENGINE))


def a_pdf(path: Path, pages: list[dict[str, object]]) -> Path:
    with pikepdf.Pdf.new() as pdf:
        for keys in pages:
            pdf.add_blank_page(page_size=(300, 400))
            added = pdf.pages[-1]
            # Content that forgets to undo what it did.
            added.Contents = pdf.make_stream(b"q 0.5 0 0 0.5 90 90 cm 1 0 0 rg 0 0 50 50 re f")
            for name, value in keys.items():
                added.obj[name] = value
        pdf.save(path)
    return path


def written(folder: Path, document: Path, pages: list[Page], pictures: list[Path]) -> Path:
    write_layers(folder / "layers", pages)
    write_searchable(document, folder / "layers", pictures, folder / "out.pdf")
    return folder / "out.pdf"


def seen(path: Path, index: int = 0) -> pypdfium2.PdfPage:
    return pypdfium2.PdfDocument(path)[index]


def places(shown: pypdfium2.PdfPage, word: str) -> list[tuple[float, ...]]:
    """Where a word is found, in pixels of the page at 144 dpi as it is shown."""
    text = shown.get_textpage()
    found = []
    search = text.search(word, match_case=True)
    while (at := search.get_next()) is not None:
        boxes = [text.get_charbox(at[0] + index, loose=False) for index in range(at[1])]
        corners = [
            pixel(shown, x, y)
            for left, bottom, right, top in boxes
            for x, y in ((left, bottom), (right, top))
        ]
        xs, ys = zip(*corners, strict=True)
        found.append((min(xs), min(ys), max(xs), max(ys)))
    return found


def pixel(shown: pypdfium2.PdfPage, x: float, y: float) -> tuple[float, float]:
    bitmap = shown.render(scale=SCALE)
    return bitmap.get_posconv(shown).to_bitmap(x, y)


def check_places(shown: pypdfium2.PdfPage) -> None:
    for word, box in WORDS.items():
        (found,) = places(shown, word)
        assert found == pytest.approx(box, abs=2.5), word


BOXES = [
    {},
    {"/CropBox": pikepdf.Array([50, 60, 250, 380])},
    {
        "/MediaBox": pikepdf.Array([-100, -50, 200, 350]),
        "/CropBox": pikepdf.Array([-80, -40, 900, 300]),
    },
]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90])
@pytest.mark.parametrize("boxes", BOXES)
def test_each_word_is_found_at_its_place_on_turned_and_cropped_pages(
    tmp_path: Path, rotation: int, boxes: dict[str, object]
) -> None:
    document = a_pdf(tmp_path / "in.pdf", [{**boxes, "/Rotate": rotation}])
    bitmap = seen(document).render(scale=SCALE)
    out = written(tmp_path, document, [page(1, bitmap.width, bitmap.height)], [])
    check_places(seen(out))
    before, after = (seen(path).render(scale=1).to_numpy() for path in (document, out))
    assert np.array_equal(before, after)  # nothing is seen of it


def test_other_programs_find_the_text_and_no_fault(tmp_path: Path) -> None:
    document = a_pdf(tmp_path / "in.pdf", [{}])
    out = written(
        tmp_path, document, [page(1, 600, 800, {**WORDS, "\U0001d4b3²": (9, 9, 60, 29)})], []
    )
    assert "\U0001d4b3²" in seen(out).get_textpage().get_text_range()
    with pikepdf.open(out) as pdf:
        assert pdf.check_pdf_syntax() == []
        (font,) = pdf.pages[0].resources.Font.values()
        assert len(bytes(font.ToUnicode.read_bytes())) > 100


def test_two_runs_leave_two_texts_and_what_was_shared_untouched(tmp_path: Path) -> None:
    """Fonts that a page has from its parent stay its own, and names do not collide."""
    document = a_pdf(tmp_path / "in.pdf", [{}, {}])
    with pikepdf.open(document, allow_overwriting_input=True) as pdf:
        helvetica = pikepdf.Dictionary(
            Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
        )
        for one in pdf.pages:
            del one.obj["/Resources"]
            one.Contents = pdf.make_stream(b"BT /Ocr0 20 Tf 20 20 Td (Seen) Tj ET")
        fonts = pikepdf.Dictionary(Ocr0=pdf.make_indirect(helvetica))
        pdf.Root.Pages.Resources = pikepdf.Dictionary(Font=fonts)
        pdf.save(document)
    out = written(tmp_path, document, [replace(FAILED, number=1), page(2, 600, 800)], [])
    for index in (0, 1):
        text = seen(out, index).get_textpage().get_text_range()
        assert "Seen" in text
        assert ("Invoice" in text) == (index == 1)


def test_pages_that_were_not_asked_for_are_left_out_with_what_points_to_them(
    tmp_path: Path,
) -> None:
    document = a_pdf(tmp_path / "in.pdf", [{}, {"/UserUnit": 2}, {}])
    with pikepdf.open(document, allow_overwriting_input=True) as pdf:
        with pdf.open_outline() as outline:
            outline.root.append(pikepdf.OutlineItem("first", 0))
        pdf.pages[0].Contents = pdf.make_stream(b"% a secret of the first page")
        pdf.save(document, compress_streams=False)
    out = written(tmp_path, document, [page(2, 600, 800), page(3, 600, 800, {})], [])
    with pikepdf.open(out) as pdf:
        assert [one.get("/UserUnit") for one in pdf.pages] == [2, None]
        streams = [
            bytes(one.read_bytes()) for one in pdf.objects if isinstance(one, pikepdf.Stream)
        ]
    assert not any(b"secret" in data for data in streams)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_passed_on_as_it_is_and_stands_upright(
    tmp_path: Path, orientation: int
) -> None:
    colours = np.zeros((40, 60, 3), np.uint8)
    colours[:20, :30], colours[:20, 30:], colours[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = tmp_path / "photo.jpg"
    Image.fromarray(colours).save(
        photo, "JPEG", quality=100, subsampling=0, exif=exif, dpi=(144, 144)
    )
    with Image.open(photo) as taken:
        upright = ImageOps.exif_transpose(taken)
    assert copy_picture(photo, "JPEG", tmp_path / "picture")
    read = page(1, *upright.size, {"word": (2, 2, 22, 12)})
    out = written(tmp_path, photo, [read], [tmp_path / "picture"])
    shown = seen(out)
    drawn = shown.render(scale=SCALE).to_pil().convert("RGB")
    assert drawn.size == upright.size
    differences = np.abs(np.asarray(drawn, int) - np.asarray(upright, int))
    assert differences.mean() < 8
    assert places(shown, "word") == [pytest.approx((2, 2, 22, 12), abs=1.5)]
    with pikepdf.open(out) as pdf:
        assert pdf.pages[0].resources.XObject.Picture.read_raw_bytes() == photo.read_bytes()


@pytest.mark.parametrize(
    ("mode", "kind", "copied", "filter_name"),
    [
        ("RGB", "PNG", True, "/FlateDecode"),
        ("P", "PNG", True, "/FlateDecode"),
        ("1", "PNG", True, "/FlateDecode"),
        ("RGBA", "PNG", False, "/FlateDecode"),
        ("LA", "PNG", False, "/FlateDecode"),
        ("I;16", "PNG", False, "/FlateDecode"),
        ("1", "TIFF", False, "/FlateDecode"),
        ("CMYK", "JPEG", False, "/FlateDecode"),
    ],
)
def test_a_picture_looks_in_the_pdf_as_it_does_to_the_engine(
    tmp_path: Path, mode: str, kind: str, copied: bool, filter_name: str
) -> None:
    drawing = Image.new("RGB", (90, 60), "white")
    drawing.paste((0, 0, 0), (10, 10, 50, 30))
    drawing = drawing.convert("L").convert(mode) if mode == "I;16" else drawing.convert(mode)
    document, picture = tmp_path / "in", tmp_path / "picture"
    drawing.save(document, kind)
    image, *_ = render_frame(document, kind, 1, 144, Limits(1, 10**6))
    assert copy_picture(document, kind, picture) == copied
    if not copied:
        encode_picture(image, picture)
    out = written(tmp_path, document, [Page(1, 90, 60, 144)], [picture])
    drawn = seen(out).render(scale=SCALE, rev_byteorder=False).to_numpy()
    assert np.abs(drawn.astype(int) - image).max() < 24
    with pikepdf.open(out) as pdf:
        assert pdf.pages[0].resources.XObject.Picture.Filter == filter_name


def test_a_photograph_that_is_no_jpeg_becomes_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    encode_picture(noise, tmp_path / "colour")
    encode_picture(noise[:, :, :1].repeat(3, axis=2), tmp_path / "grey")
    formats = []
    for name in ("colour", "grey"):
        with Image.open(tmp_path / name) as picture:
            formats.append((picture.format, picture.mode))
    assert formats == [("JPEG", "RGB"), ("JPEG", "L")]


def test_a_huge_picture_stays_within_what_readers_take(tmp_path: Path) -> None:
    Image.new("1", (16000, 10)).save(tmp_path / "picture", "PNG")
    out = written(tmp_path, tmp_path, [Page(1, 16000, 10, 72)], [tmp_path / "picture"])
    assert seen(out).get_size()[0] == pytest.approx(14400)


def test_a_failed_page_keeps_its_place(tmp_path: Path) -> None:
    document = a_pdf(tmp_path / "in.pdf", [{}, {}, {}])
    out = written(
        tmp_path, document, [page(1, 600, 800), replace(FAILED, number=2), page(3, 600, 800)], []
    )
    texts = [seen(out, index).get_textpage().count_chars() for index in range(3)]
    assert texts[0] > 0 < texts[2]
    assert texts[1] == 0


def test_an_encrypted_document_and_a_broken_one_are_refused(tmp_path: Path) -> None:
    with pikepdf.open(a_pdf(tmp_path / "in.pdf", [{}])) as pdf:
        pdf.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(user="u", owner="o"))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    for name, code in (("locked.pdf", "encrypted_pdf"), ("broken.pdf", "decode_failed")):
        with pytest.raises(PublicError) as refused:
            written(tmp_path, tmp_path / name, [page(1, 600, 800)], [])
        assert refused.value.code == code


@pytest.mark.parametrize("broken", ["/MediaBox", "/CropBox", "/Rotate", "/Resources", "/Parent"])
def test_nonsense_in_a_page_does_not_stop_it(tmp_path: Path, broken: str) -> None:
    document = a_pdf(tmp_path / "in.pdf", [{}])
    with pikepdf.open(document, allow_overwriting_input=True) as pdf:
        pdf.pages[0].obj[broken] = pikepdf.Name.Nonsense
        pdf.save(tmp_path / "nonsense.pdf")
    out = written(tmp_path, tmp_path / "nonsense.pdf", [page(1, 600, 800)], [])
    assert "Invoice" in seen(out).get_textpage().get_text_range()


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=()), max_size=9), max_size=4))
def test_any_text_makes_a_whole_pdf(
    tmp_path_factory: pytest.TempPathFactory, said: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    document = a_pdf(folder / "in.pdf", [{}])
    words = {text: (10, 10 * row, 90, 10 * row + 9) for row, text in enumerate(said)}
    out = written(folder, document, [page(1, 600, 800, words)], [])
    with pikepdf.open(out) as pdf:
        assert pdf.check_pdf_syntax() == []
    seen(out).get_textpage().get_text_range()
