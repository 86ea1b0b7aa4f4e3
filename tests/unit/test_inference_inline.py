"""Documents inside JSON: to disk as they come, whatever the pieces, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocr_inference.errors import PublicError
from ocr_inference.sources.document import named_document
from ocr_inference.sources.file import Document
from ocr_inference.sources.inline import decode
from ocr_inference.sources.json_body import INLINE, INLINE_FROM, JsonBody, receive_json

JSON = "application/json; charset=utf-8"
LIMIT = 4 * 1024 * 1024


def content(size: int) -> bytes:
    return bytes(index * 131 % 251 for index in range(1024)) * (size // 1024 + 1)


async def pieces(body: bytes, step: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), step):
        yield body[at : at + step]


def receive(body: bytes, path: Path, step: int = 65536, limit: int = LIMIT) -> JsonBody:
    return asyncio.run(receive_json(JSON, pieces(body, step), path, limit))


def document(payload: object, inline: Document | None, path: Path) -> Document:
    async def fetch(url: str) -> Document:
        raise AssertionError(url)

    return asyncio.run(named_document(str(payload), inline, path, LIMIT, fetch))


@pytest.mark.parametrize("size", [10, 30_000, 60_000, 3_000_000])
@pytest.mark.parametrize("prefix", ["", "data:application/pdf;base64,", "data:;base64,"])
def test_a_document_of_any_size_comes_out_as_it_went_in(
    tmp_path: Path, size: int, prefix: str
) -> None:
    data = content(size)[:size]
    text = prefix + base64.b64encode(data).decode()
    body = json.dumps({"before": [1, {"a": "b"}], "file": text, "after": None}).encode()
    path = tmp_path / "file"
    received = receive(body, path)
    assert (received.inline is None) == (len(text) <= INLINE_FROM)
    found = document(received.payload["file"], received.inline, path)
    assert (found.size, path.read_bytes() == data) == (size, True)
    assert received.payload["before"] == [1, {"a": "b"}]
    assert received.payload["after"] is None


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda text: text.replace("/", r"\/"), id="as PHP escapes slashes"),
        pytest.param(lambda text: text.replace("+", r"\u002b"), id="as .NET escapes plus"),
        pytest.param(lambda text: text.rstrip("="), id="without padding"),
        pytest.param(lambda text: text.replace("+", "-").replace("/", "_"), id="for URLs"),
        pytest.param(
            lambda text: r"\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
            id="in lines",
        ),
    ],
)
@pytest.mark.parametrize("step", [1023, 65536])
def test_base64_in_any_spelling(tmp_path: Path, written: object, step: int) -> None:
    data = bytes(range(256)) * 600 + b"x"
    text = written(base64.b64encode(data).decode())  # type: ignore[operator]
    path = tmp_path / "file"
    received = receive(f'{{"file":"{text}"}}'.encode(), path, step)
    assert received.payload == {"file": INLINE}
    assert received.inline is not None
    assert path.read_bytes() == data


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(
    rest=st.dictionaries(st.text(max_size=8).filter(lambda name: name != "file"), _json),
    ascii_only=st.booleans(),
    step=st.integers(1, 50),
    at_end=st.booleans(),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_everything_but_the_document_is_what_a_parser_would_read(
    tmp_path: Path, rest: dict[str, object], ascii_only: bool, step: int, at_end: bool
) -> None:
    text = base64.b64encode(content(INLINE_FROM)).decode()
    payload = {**rest, "file": text} if at_end else {"file": text, **rest}
    # Surrogates alone are no UTF-8.
    body = json.dumps(payload, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        expected = json.loads(body.decode())
    except UnicodeDecodeError:
        return
    try:
        received = receive(body, tmp_path / "file", step * 997)
    except PublicError as error:
        assert error.code == "invalid_json"
        assert "\\ud" in body.decode()  # half a surrogate pair, which is no text
        return
    assert received.payload == {**expected, "file": INLINE}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"a": NaN}', 400, "invalid_json"),
        (b'{"a": "cut', 400, "invalid_json"),
        (b'{"a": "cut\\', 400, "invalid_json"),
        (b'{"a": "\xff"}', 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"file": "' + b"A" * 100_000, 400, "invalid_json"),
        (b'{"file": "' + b"A" * 100_000 + b"\\x" + b'"}', 400, "invalid_json"),
        (b'{"file": "' + b"A" * 100_000 + b'!"}', 422, "invalid_base64"),
        (b'{"file": "' + b"A" * 99_997 + b'"}', 422, "invalid_base64"),
        (b'{"file": "' + b"AA==" * 50_000 + b'"}', 422, "invalid_base64"),
        (b'{"file": "' + b"A" * 8_000_000 + b'"}', 413, "file_too_large"),
        (b'{"file": "' + b"A" * 80_000 + b'", "b": "' + b"A" * 80_000, 413, "field_too_large"),
        (b" " * 300_000, 413, "field_too_large"),
    ],
)
@pytest.mark.parametrize("step", [1000, 10_000_000])
def test_bad_bodies_are_refused(
    tmp_path: Path, body: bytes, status: int, code: str, step: int
) -> None:
    with pytest.raises(PublicError) as raised:
        receive(body, tmp_path / "file", step)
    assert (raised.value.status, raised.value.code) == (status, code)


def test_another_content_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublicError) as raised:
        asyncio.run(receive_json("text/plain", pieces(b"{}", 2), tmp_path / "file", LIMIT))
    assert raised.value.status == 415


@pytest.mark.parametrize(
    "text", ["!", "A", "AAAA=AAA", "data:text/plain,hello", "data:image/png;base64,?", "ключ"]
)
def test_what_is_not_base64_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PublicError) as raised:
        decode(text, tmp_path / "file", LIMIT)
    assert raised.value.code == "invalid_base64"


@pytest.mark.parametrize("url", ["https://a.test/b", "HTTP://a.test", "file:///etc/passwd"])
def test_a_url_is_given_to_the_fetcher(tmp_path: Path, url: str) -> None:
    asked = []

    async def fetch(url: str) -> Document:
        asked.append(url)
        return Document(tmp_path, "fetched", 0, "")

    found = asyncio.run(named_document(url, None, tmp_path / "file", LIMIT, fetch))
    assert (found.name, asked) == ("fetched", [url])
