"""Multipart bodies, however the network cuts them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import tempfile
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_inference.errors import PublicError
from ocr_inference.sources.file import Document
from ocr_inference.sources.upload import Upload, clean_name, receive_upload

FORM = "multipart/form-data; boundary=b"
DOCUMENT = b"\r\n--b\r\n-- not the end" + bytes(range(256))
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="dpi"\r\n\r\n300\r\n'
    b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\nen\r\n'
    b'--b\r\nContent-Disposition: form-data; name="language"\r\n\r\n\xc3\xa9\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="..\\a/b\xc3\xa9.pdf"\r\n'
    b"Content-Type: application/pdf\r\n\r\n%s\r\n--b--\r\n" % DOCUMENT.replace(b"\r\n--b", b"")
)
FILE_PART = BODY[BODY.index(b'--b\r\nContent-Disposition: form-data; name="file"') :]
TWO_FILES = BODY[: -len(b"--b--\r\n")] + FILE_PART


LIMIT = 4_000_000


async def fetch(url: str) -> Document:
    assert url == "https://a.test/page.png"
    raise PublicError(422, "url_not_allowed", "Not that one.")


def url_part(text: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="image_url"\r\n\r\n%s\r\n' % text


def receive(chunks: list[bytes], content_type: str = FORM) -> tuple[Upload, bytes]:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        upload = asyncio.run(receive_upload(content_type, body(), path, LIMIT, fetch))
        return upload, path.read_bytes()


@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=6))
@settings(deadline=None)
def test_a_body_means_the_same_wherever_it_is_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(BODY)]
    upload, data = receive([BODY[a:b] for a, b in pairwise(edges)])
    assert data == DOCUMENT.replace(b"\r\n--b", b"")
    assert upload.document.size == len(data)
    assert upload.document.sha256 == hashlib.sha256(data).hexdigest()
    assert upload.fields == {"dpi": ["300"], "language": ["en", "é"]}
    assert upload.document.name == "bé.pdf"


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("application/json", b"{}", "unsupported_media_type"),
        ("multipart/form-data", b"", "invalid_multipart"),
        (f"multipart/form-data; boundary={'b' * 300}", b"", "invalid_multipart"),
        (FORM, BODY[:-8], "invalid_multipart"),
        (FORM, b"garbage", "invalid_multipart"),
        (FORM, b"--b--\r\n", "source_missing"),
        (FORM, TWO_FILES, "source_ambiguous"),
        (
            FORM,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n--b--\r\n'
            % bytes(70_000),
            "field_too_large",
        ),
        (
            FORM,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n',
            "invalid_multipart",
        ),
    ],
)
def test_what_is_no_single_upload_is_refused(content_type: str, body: bytes, code: str) -> None:
    with pytest.raises(PublicError) as refused:
        receive([body], content_type)
    assert refused.value.code == code


@given(st.text())
@settings(deadline=None)
def test_a_clean_name_is_a_name(name: str) -> None:
    clean = clean_name(name)
    assert clean
    assert len(clean) <= 128
    assert not set(clean) & set('/\\\0\r\n<>"\x1b')
    assert clean not in (".", "..")


@pytest.mark.parametrize("size", [250, 100_000, 3_000_000])
@pytest.mark.parametrize("step", [997, 65536])
def test_a_data_url_is_a_document_too(size: int, step: int) -> None:
    data = bytes(range(250)) * (size // 250)
    text = b"data:image/png;base64," + base64.b64encode(data)
    field = b'--b\r\nContent-Disposition: form-data; name="dpi"\r\n\r\n300\r\n'
    body = url_part(text) + field + b"--b--\r\n"
    upload, written = receive([body[at : at + step] for at in range(0, len(body), step)])
    assert written == data
    assert upload.document.size == size
    assert upload.document.sha256 == hashlib.sha256(data).hexdigest()
    assert upload.fields == {"dpi": ["300"]}


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (url_part(b"https://a.test/page.png"), "url_not_allowed"),
        (url_part(b"") * 2, "source_ambiguous"),
        (
            url_part(b"data:image/png;base64,AAAA") + FILE_PART[: -len(b"--b--\r\n")],
            "source_ambiguous",
        ),
        (b"", "source_missing"),
        (url_part(b"data:image/png;base64,?"), "invalid_base64"),
        (url_part(b"A" * 3_000_001), "invalid_base64"),
        (url_part(b"A" * 6_000_000), "file_too_large"),
    ],
)
def test_what_image_url_may_not_be(parts: bytes, code: str) -> None:
    with pytest.raises(PublicError) as raised:
        receive([parts + b"--b--\r\n"])
    assert raised.value.code == code
