import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import documents
import numpy as np
import pytest
from PIL import Image

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.decode import DocumentInfo, Limits, inspect, render

LIMITS = Limits(max_pages=100, max_pixels=40_000_000)


def refusal(data: bytes, folder: Path, pages: str | None = None) -> PublicError:
    with pytest.raises(PublicError) as raised:
        inspect(written(folder, data), pages, LIMITS)
    return raised.value


def written(folder: Path, data: bytes) -> Path:
    path = folder / "upload"
    path.write_bytes(data)
    return path


def saved(folder: Path, image: Image.Image, kind: str, **options: object) -> Path:
    path = folder / "upload"
    image.save(path, kind, **options)
    return path


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("TIFF", "image/tiff"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
    ],
)
def test_a_format_is_told_by_its_bytes_and_decoded(
    kind: str, media_type: str, tmp_path: Path
) -> None:
    path = saved(tmp_path, Image.new("RGB", (60, 40), (250, 120, 10)), kind)
    assert inspect(path, None, LIMITS) == DocumentInfo(media_type, 1, (1,), (2400,))
    image, *_ = render(path, 1, 200, LIMITS)
    assert image.shape == (40, 60, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert np.abs(image[20, 30].astype(int) - (10, 120, 250)).max() < 12, "not BGR"


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("alpha", [True, False])
def test_the_size_of_every_kind_of_webp_is_read_from_its_header(
    lossless: bool, alpha: bool, tmp_path: Path
) -> None:
    mode = "RGBA" if alpha else "RGB"
    image = Image.effect_noise((301, 203), 50).convert(mode)
    path = saved(tmp_path, image, "WEBP", lossless=lossless)
    small = Limits(max_pages=1, max_pixels=301 * 203 - 1)
    assert inspect(path, None, LIMITS).page_count == 1
    with pytest.raises(PublicError, match="Page 1 has 301 x 203 pixels"):
        inspect(path, None, small)


def test_a_pdf_is_rendered_at_the_resolution_asked_for(tmp_path: Path) -> None:
    data = documents.pdf((144, 72), (72, 144), content="1 0 0 rg 0 0 72 72 re f")
    path = written(tmp_path, data)
    found = inspect(path, None, LIMITS, dpi=100)
    assert found == DocumentInfo("application/pdf", 2, (1, 2), (20_000, 20_000))
    image, dpi, *_ = render(path, 1, 100, LIMITS)
    assert (image.shape, dpi) == ((100, 200, 3), 100)
    assert image[50, 50].tolist() == [0, 0, 255]
    assert image[50, 150].tolist() == [255, 255, 255]
    assert render(path, 2, 100, LIMITS)[0].shape == (200, 100, 3)


def test_a_pdf_page_too_large_for_the_resolution_is_rendered_at_less(tmp_path: Path) -> None:
    path = written(tmp_path, documents.pdf((2384, 3370)))  # A0
    image, dpi, *_ = render(path, 1, 400, LIMITS)
    assert dpi == 160
    assert 39_000_000 < image.shape[0] * image.shape[1] <= 40_000_000


def test_a_long_pdf_page_is_held_to_the_longest_side(tmp_path: Path) -> None:
    path = written(tmp_path, documents.pdf((72, 7200)))
    image, dpi, *_ = render(path, 1, 400, LIMITS)
    assert dpi == 163
    assert max(image.shape) <= LIMITS.max_side


def test_a_turned_pdf_page_is_upright(tmp_path: Path) -> None:
    path = written(tmp_path, documents.pdf((144, 72), extra="/Rotate 90"))
    assert render(path, 1, 72, LIMITS)[0].shape == (144, 72, 3)


def test_every_frame_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    frames = [Image.new("L", (30, 20), grey) for grey in (10, 20, 30)]
    path = saved(tmp_path, frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert inspect(path, "2-", LIMITS) == DocumentInfo("image/tiff", 3, (2, 3), (600, 600))
    assert [int(render(path, n, 200, LIMITS)[0][0, 0, 0]) for n in (1, 2, 3)] == [10, 20, 30]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
def test_a_photo_is_turned_as_its_orientation_says(kind: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    turned, *_ = render(saved(tmp_path, image, kind, exif=exif), 1, 200, LIMITS)
    assert turned.shape == (60, 40, 3)
    assert turned[5, 35].max() < 60, "the dark corner belongs at the top right"
    assert turned[5, 5].min() > 200


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_the_rotation_is_how_the_stored_picture_was_turned(
    kind: str, orientation: int, tmp_path: Path
) -> None:
    stored = np.full((40, 60), 255, np.uint8)
    stored[:16, :16], stored[:16, -16:], stored[-16:, :16] = 0, 80, 160
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(stored).convert("RGB")
    turned, _, rotation = render(
        saved(tmp_path, image, kind, exif=exif, quality=95), 1, 200, LIMITS
    )
    mirrored = stored[:, ::-1] if orientation in (2, 4, 5, 7) else stored
    expected = np.rot90(mirrored, -rotation // 90)  # which turns against the clock
    assert rotation in (0, 90, 180, 270)
    assert turned.shape[:2] == expected.shape
    assert np.abs(turned[:, :, 0].astype(int) - expected).mean() < 4


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 10, 20))
    for flavour in (image, image.quantize(4)):
        seen, *_ = render(saved(tmp_path, flavour, "PNG"), 1, 200, LIMITS)
        assert seen[10, 15].tolist() == [255, 255, 255]
        assert seen[10, 5].tolist() == [0, 0, 0]


def test_sixteen_bits_of_which_twelve_are_used_are_not_black(tmp_path: Path) -> None:
    samples = np.full((20, 20), 4095, np.uint16)
    samples[:10] = 100
    for kind in ("PNG", "TIFF"):
        seen, *_ = render(saved(tmp_path, Image.fromarray(samples), kind), 1, 200, LIMITS)
        assert seen[15, 5].min() == 255
        assert seen[5, 5].max() < 10


def test_sixteen_bits_with_white_as_zero_are_turned_round(tmp_path: Path) -> None:
    samples = np.zeros((20, 20), np.uint16)
    samples[:10] = 65535
    path = saved(tmp_path, Image.fromarray(samples), "TIFF")
    black_is_zero, white_is_zero = (struct.pack("<HHIHH", 262, 3, 1, n, 0) for n in (1, 0))
    assert black_is_zero in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(black_is_zero, white_is_zero))
    seen, *_ = render(path, 1, 200, LIMITS)
    assert seen[5, 5].max() == 0
    assert seen[15, 5].min() == 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK"])
def test_every_common_kind_of_pixel_becomes_bgr(mode: str, tmp_path: Path) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    seen, *_ = render(
        saved(tmp_path, Image.new("RGB", (8, 8), "white").convert(mode), kind), 1, 200, LIMITS
    )
    assert seen.shape == (8, 8, 3)
    assert seen.min() >= 254


def test_floating_point_pixels_are_scaled(tmp_path: Path) -> None:
    samples = np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10)
    seen, *_ = render(saved(tmp_path, Image.fromarray(samples), "TIFF"), 1, 200, LIMITS)
    assert seen[0, 0, 0] == 0
    assert seen[9, 9, 0] == 255


@pytest.mark.parametrize(
    ("size", "written_dpi", "seen_dpi"),
    [
        ((1654, 2339), 150, 150),
        ((1654, 2339), 300, 300),
        ((4000, 3000), 72, 200),  # a camera's: a sheet of 1.4 metres
        ((1654, 2339), 5000, 200),
        ((1654, 2339), None, 200),
    ],
)
def test_the_resolution_is_the_files_own_where_it_is_believable(
    size: tuple[int, int], written_dpi: int | None, seen_dpi: int, tmp_path: Path
) -> None:
    options = {} if written_dpi is None else {"dpi": (written_dpi, written_dpi)}
    path = saved(tmp_path, Image.new("1", size, 1), "PNG", **options)
    assert render(path, 1, 200, LIMITS)[1] == seen_dpi


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    error = refusal(b"", tmp_path)
    assert (error.status, error.code) == (400, "empty_file")


@pytest.mark.parametrize(
    "data",
    [b"GIF89a" + bytes(100), b"PK\3\4" + bytes(100), b"SIMPLE  =", b"<svg/>", b"RIFF0000WAVE"],
)
def test_any_other_format_is_refused(data: bytes, tmp_path: Path) -> None:
    error = refusal(data, tmp_path)
    assert (error.status, error.code) == (415, "unsupported_media_type")


def test_an_encrypted_pdf_is_named_as_one(tmp_path: Path) -> None:
    error = refusal(documents.encrypted_pdf(), tmp_path)
    assert (error.status, error.code) == (422, "encrypted_pdf")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"\xff\xd8\xff\xe0" + bytes(50),
        b"II*\0" + bytes(4),
        b"II*\0\xff\xff\xff\xff",
        b"BM" + bytes(60),
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"%PDF-1.7\nnothing",
    ],
)
def test_a_broken_header_is_a_400(data: bytes, tmp_path: Path) -> None:
    error = refusal(data, tmp_path)
    assert (error.status, error.code) == (400, "decode_failed")
    assert "upload" not in error.message, "no path of the server's"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_image_that_is_cut_off_fails_when_it_is_decoded(kind: str, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((300, 300), 80).convert("RGB").save(whole, kind)
    path = written(tmp_path, whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(PublicError, match="damaged or not complete"):
        inspect(path, None, LIMITS)
        render(path, 1, 200, LIMITS)


def test_a_pdf_page_without_a_size_is_refused(tmp_path: Path) -> None:
    # PDFium gives such a page a size of its own, or none; neither may raise anything else.
    path = written(tmp_path, documents.pdf((0, 0)))
    try:
        render(path, 1, 200, LIMITS)
    except PublicError as error:
        assert error.code == "decode_failed"


PEAK = """
import sys
from pathlib import Path
import numpy, pypdfium2, PIL.Image, PIL.PngImagePlugin, PIL.TiffImagePlugin, PIL.WebPImagePlugin
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.decode import Limits, inspect, render

def peak():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024

limits, path = Limits(max_pages=100, max_pixels=40_000_000), Path(sys.argv[1])
before = peak()
for call in (lambda: inspect(path, None, limits), lambda: render(path, 1, 200, limits)):
    try:
        call()
        print("accepted")
    except PublicError as error:
        print(error.code)
print(peak() - before)
"""


def judged(path: Path) -> tuple[str, str, int]:
    """What `inspect` and `render` say in a fresh process, and its extra memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    inspected, rendered, grown = done.stdout.split()
    return inspected, rendered, int(grown)


MOST_MIB = 40


def test_a_pdf_bomb_is_never_rendered(tmp_path: Path) -> None:
    data = documents.pdf((14400, 14400), content="0 0 9 9 re f")
    assert len(data) < 560
    inspected, rendered, grown = judged(written(tmp_path, data))
    assert (inspected, rendered) == ("too_many_pixels", "too_many_pixels")
    assert grown < MOST_MIB


def test_an_image_bomb_is_never_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("1", (9000, 9000)), "PNG")
    assert path.stat().st_size < 15_000
    inspected, rendered, grown = judged(path)
    assert (inspected, rendered) == ("too_many_pixels", "too_many_pixels")
    assert grown < MOST_MIB


def test_an_image_that_only_claims_to_be_huge_is_never_decoded(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    chunk = b"IHDR" + head
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + bytes(100)
    inspected, _, grown = judged(written(tmp_path, data))
    assert inspected in ("too_many_pixels", "decode_failed")
    assert grown < MOST_MIB


def test_a_webp_of_the_largest_size_is_refused_before_its_canvas_is_made(tmp_path: Path) -> None:
    # 16,383 pixels on a side: Pillow would allocate two canvases of a gigabyte when opening it.
    side = (16382).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + side + side
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6)
    data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    inspected, rendered, grown = judged(written(tmp_path, data))
    assert (inspected, rendered) == ("too_many_pixels", "too_many_pixels")
    assert grown < MOST_MIB


def test_a_tiff_bomb_is_counted_no_further_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    documents.tiff_bomb(path, 20_000)
    assert path.stat().st_size < 2_600_000
    inspected, rendered, grown = judged(path)
    assert (inspected, rendered) == ("too_many_pages", "accepted")
    assert grown < MOST_MIB
    assert inspect(path, "1-3", LIMITS).page_count == LIMITS.max_pages + 1


def test_a_tiff_whose_frames_go_in_a_circle_ends(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    documents.tiff_bomb(path, 2)
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<I", 12)
    path.write_bytes(data)
    try:
        assert inspect(path, None, LIMITS).page_count <= LIMITS.max_pages
    except PublicError as error:
        assert error.code in ("too_many_pages", "decode_failed")
