"""Documents and requests that were made to hurt: what each costs the whole server, and what its
sender is told. Bombs are small files that become large; the numbers are in docs/reliability.md."""

from __future__ import annotations

import io
import json
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import documents
import pikepdf
import pytest
from ocr_server import OcrServer, picture, refusal, running_server
from PIL import Image
from processes import kept_waiting, memory, memory_watched

MAX_BYTES = 8_000_000
MOST_MIB = 150
"""Beyond what the server holds anyway: none of them may be decoded."""

BOUNDARY = b"limit"
FORM = {"Content-Type": "multipart/form-data; boundary=limit"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": "{width} by {height}"},
        ocr_max_upload_bytes=MAX_BYTES,
        ocr_max_side=10_000,
        ocr_sync_timeout_s=30,
    ) as server:
        for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
            assert server.read(picture(kind=kind)).status_code == 200
        assert server.read(documents.pdf((99, 99))).status_code == 200
        yield server
        assert server.left_behind == []
        assert "unexpected error" not in server.log and "Traceback" not in server.log


def black(width: int, height: int, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, kind, **options)
    return buffer.getvalue()


def claiming(side: int) -> bytes:
    """A small PNG whose header says so."""
    data = bytearray(picture())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def jpeg_claiming(side: int) -> bytes:
    data = bytearray(picture(64, 64, "JPEG"))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = struct.pack(">HH", side, side)
    return bytes(data)


def frames(tmp_path: Path, count: int) -> bytes:
    documents.tiff_bomb(tmp_path / "bomb", count)
    return (tmp_path / "bomb").read_bytes()


def with_stream(data: bytes, page: bytes = b"/I Do", **values: object) -> bytes:
    """A PDF page that draws an image with this stream, or has it for its content."""
    buffer = io.BytesIO()
    with pikepdf.new() as document:
        leaf = document.add_blank_page(page_size=(200, 200))
        image = document.make_stream(
            data,
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Image,
            ColorSpace=pikepdf.Name.DeviceGray,
            **values,
        )
        leaf.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=image))
        leaf.Contents = document.make_stream(b"200 0 0 200 0 0 cm " + page)
        document.save(buffer, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    return buffer.getvalue()


@cache
def deflated(count: int) -> bytes:
    packer = zlib.compressobj(1)
    piece = bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(count // len(piece))) + packer.flush()


def nested(depth: int) -> bytes:
    """Arrays in arrays, which a reader that calls itself cannot follow."""
    return documents.pdf((200, 200), extra=f"/Annots {'[' * depth}{']' * depth}")


def test_a_bomb_is_refused_for_what_it_would_become(server: OcrServer, tmp_path: Path) -> None:
    bombs = {
        "9000 x 9000 in 10 kB": (black(9000, 9000, "PNG"), "too_many_pixels"),
        "too long on one side": (black(10_001, 10, "PNG"), "too_many_pixels"),
        "a PNG that claims 4 exapixels": (claiming(2**31 - 1), "too_many_pixels"),
        "a JPEG that claims 4 gigapixels": (jpeg_claiming(65_500), "too_many_pixels"),
        "20,000 frames": (frames(tmp_path, 20_000), "too_many_pages"),
        "a page of 200 inches": (documents.pdf((14_400, 14_400)), "too_many_pixels"),
        "101 pages": (documents.pdf(*[(99, 99)] * 101), "too_many_pages"),
    }
    base = sum(memory(server.pid))
    with memory_watched(server.pid, 0.02) as held:
        for name, (bomb, reason) in bombs.items():
            assert len(bomb) < 3_000_000
            began = time.monotonic()
            assert refusal(server.read(bomb)) == (422, reason), name
            assert time.monotonic() - began < 5, name
    print(f"refused bombs: {base} MiB, at most {held.peak_mib:.0f}")
    assert held.peak_mib < base + MOST_MIB


SMALL = {"Width": 64, "Height": 64, "BitsPerComponent": 8}
FLATE = {"Filter": pikepdf.Name.FlateDecode}
HEAVY: dict[str, Callable[[], bytes]] = {
    "an image of 400 MP on a small page": lambda: with_stream(
        deflated(400_000_000), Width=20_000, Height=20_000, BitsPerComponent=8, **FLATE
    ),
    "a stream far longer than its image": lambda: with_stream(
        deflated(400_000_000), **SMALL, **FLATE
    ),
    "a damaged JPX stream": lambda: with_stream(
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(3000), Filter=pikepdf.Name.JPXDecode, **SMALL
    ),
    "a damaged JBIG2 stream": lambda: with_stream(
        b"\0\0\0\0\x30\0\1\0\0\0\x13" + b"\xff" * 3000,
        Filter=pikepdf.Name.JBIG2Decode,
        Width=20_000,
        Height=20_000,
        BitsPerComponent=1,
    ),
    "a damaged CCITT stream": lambda: with_stream(
        b"\xff" * 9000,
        Filter=pikepdf.Name.CCITTFaxDecode,
        DecodeParms=pikepdf.Dictionary(K=-1, Columns=30_000, Rows=30_000),
        Width=30_000,
        Height=30_000,
        BitsPerComponent=1,
    ),
    "100,000 arrays in each other": lambda: nested(100_000),
    "40 megapixels of nothing": lambda: black(6300, 6300, "TIFF", compression="group4"),
}
"""Within all limits by what their headers say; the work is in their streams."""


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_document_costs_its_sender_alone(server: OcrServer, name: str) -> None:
    bomb = HEAVY[name]()
    assert len(bomb) < 4_000_000
    began = time.monotonic()
    with memory_watched(server.pid, 0.02) as held:
        answer = server.read(bomb)
        seconds = time.monotonic() - began
        own, waited = memory(server.pid)[0], kept_waiting(server.pid)
        assert server.get("/livez").elapsed.total_seconds() < 1 + kept_waiting(server.pid) - waited
    print(
        f"{name}: {len(bomb)} bytes, {answer.status_code} after {seconds:.1f} s, "
        f"at most {held.peak_mib:.0f} MiB, {held.own_peak_mib:.0f} of them its own"
    )
    assert answer.status_code in (200, 400, 422, 504)
    assert held.own_peak_mib < own + 40
    assert held.peak_mib < 3 * 1024 + 500
    assert server.read(picture()).json()["text"] == "40 by 30"


@pytest.mark.parametrize(
    ("front", "back"),
    [
        (picture(), documents.pdf((99, 99))),
        (documents.pdf((99, 99)), picture()),
        (picture(kind="JPEG"), b"PK\3\4" + bytes(200)),
        (picture(kind="BMP"), b"<script>alert(1)</script>"),
    ],
    ids=["PNG and PDF", "PDF and PNG", "JPEG and ZIP", "BMP and HTML"],
)
def test_a_file_of_two_kinds_is_read_as_what_it_begins_with(
    server: OcrServer, front: bytes, back: bytes
) -> None:
    told = server.read(front + back, name="a.svg", headers={"Accept": "text/plain"})
    assert (told.status_code, told.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert told.text == ("275 by 275" if front.startswith(b"%PDF") else "40 by 30")


@pytest.mark.parametrize(
    "data",
    [
        b"PK\3\4" + bytes(300),
        b"\x1f\x8b\x08" + bytes(300),
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"SIMPLE  =                    T",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a" + bytes(300),
        b"\0\0\0\x1cftypavif" + bytes(300),
        b"#!/bin/sh\n",
        b"MZ" + bytes(300),
        bytes(300),
    ],
)
def test_other_kinds_are_not_even_opened(server: OcrServer, data: bytes) -> None:
    for name in ("page.png", "page.pdf"):
        assert refusal(server.read(data, name=name)) == (415, "unsupported_media_type")


NAMES = [
    "../../../../etc/cron.d/x",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "a\0b.png",
    "a\r\nSet-Cookie: x=y.png",
    "\x1b]0;owned\x07.png",
    "‮gnp.exe",
    "x" * 5000,
    "",
    ".",
    "CON",
    "$(touch owned)`id`;|&",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_only_ever_shown_and_only_when_it_is_clean(server: OcrServer, name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').encode()
    body = part(b'name="file"; filename="' + quoted + b'"', picture()) + b"--limit--\r\n"
    answer = server.http.post("/ocr", content=body, headers=FORM)
    assert answer.status_code in (200, 400)
    assert "Set-Cookie" not in answer.headers
    if answer.status_code == 200:
        stored = server.home / "output" / answer.json()["output"]["key"]
        shown = json.loads(stored.read_bytes())["input"]["name"]
        assert 0 < len(shown) <= 128
        assert not any(letter in "/\\" or not letter.isprintable() for letter in shown), shown
    kept = [path.name for path in server.home.rglob("*") if path.is_file()]
    assert not any("owned" in known or "passwd" in known or "win.ini" in known for known in kept)


def part(disposition: bytes, data: bytes, extra: bytes = b"") -> bytes:
    head = b"--limit\r\nContent-Disposition: form-data; " + disposition + b"\r\n" + extra
    return head + b"\r\n" + data + b"\r\n"


FILE = part(b'name="file"; filename="a.png"', picture())
END = b"--limit--\r\n"
BODIES: dict[str, tuple[bytes, set[int]]] = {
    "a NUL in a value": (part(b'name="pages"', b"1\0") + FILE + END, {422}),
    "control characters in a value": (part(b'name="language"', b"\x1b[2J") + FILE + END, {422}),
    "a NUL in a name": (part(b'name="pa\0ges"', b"1") + FILE + END, {400, 422}),
    "no name": (part(b"", b"1") + FILE + END, {400, 422}),
    "no disposition": (b"--limit\r\nContent-Type: a/b\r\n\r\nx\r\n" + FILE + END, {400, 422}),
    "a part without a header": (b"--limit\r\n\r\nx\r\n" + FILE + END, {400, 422}),
    "a lone surrogate": (part(b'name="pages"', b"\xed\xa0\x80") + FILE + END, {400}),
    "a header without a colon": (b"--limit\r\nnonsense\r\n\r\nx\r\n" + FILE + END, {400}),
    "a thousand part headers": (
        part(b'name="file"; filename="a"', picture(), b"X-A: b\r\n" * 1000) + END, {200, 400},
    ),
    "a part header of 100 kB": (
        part(b'name="file"; filename="a"', picture(), b"X-A: " + b"b" * 100_000 + b"\r\n") + END,
        {400},
    ),
    "a thousand empty parts": (part(b'name="a"', b"") * 1000 + FILE + END, {400}),
    "a hundred files": (FILE * 100 + END, {422}),
    "no end": (FILE, {400}),
    "only an end": (END, {422}),
    "data before the first part": (b"preamble\r\n" + FILE + END, {200, 400}),
    "data after the end": (FILE + END + b"x" * 10_000, {200, 400}),
    "a boundary inside": (part(b'name="file"; filename="a"', b"\r\n--limi" * 1000) + END, {415}),
    "only line ends": (b"\r\n" * 10_000, {400}),
    "a field of 100 kB": (part(b'name="pages"', b"1" * 100_000) + FILE + END, {413}),
    "fifty digits": (part(b'name="dpi"', b"9" * 50) + FILE + END, {422}),
    "ten thousand digits": (part(b'name="dpi"', b"9" * 10_000) + FILE + END, {422}),
    "a page number beyond all numbers": (part(b'name="pages"', b"9" * 900) + FILE + END, {422}),
    "a range of pages without an end": (
        part(b'name="pages"', b"1-999999999999") + FILE + END, {200, 422},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_form_is_refused_and_costs_nothing(server: OcrServer, name: str) -> None:
    body, allowed = BODIES[name]
    began = time.monotonic()
    answer = server.http.post("/ocr", content=body, headers=FORM)
    assert answer.status_code in allowed, answer.text
    assert time.monotonic() - began < 5
    if answer.status_code != 200:
        assert answer.json()["error"]["code"]
        assert "\0" not in answer.text and "\x1b" not in answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        f"multipart/form-data; boundary={'b' * 1000}",
        "multipart/form-data; boundary=a\x01b",
        "multipart/form-data; boundary=é",
        "multipart/mixed; boundary=limit",
        "application/x-www-form-urlencoded",
        f"{'a;' * 5000}",
    ],
)
def test_an_odd_content_type_is_refused(server: OcrServer, content_type: str) -> None:
    headers = [(b"Content-Type", content_type.encode())]
    answer = server.http.post("/ocr", content=FILE + END, headers=headers)
    assert answer.status_code in (400, 415)


REQUESTS = {
    "no HTTP": b"\x16\x03\x01\x02\0\x01\0" * 50,
    "a negative length": b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length beyond all numbers": b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: "
    + b"9" * 5000
    + b"\r\n\r\n",
    "two lengths": b"POST /ocr HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length and chunks": b"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
    "a chunk of a negative length": b"POST /ocr HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    "a header name with a space": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a NUL in a header": b"GET /livez HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "a NUL in the path": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_no_http_ends_with_its_connection(server: OcrServer, name: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as sock:
        sock.sendall(REQUESTS[name])
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while data := sock.recv(4096):
                answer += data
        except ConnectionResetError:
            pass
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer
    assert server.get("/livez").status_code == 200
