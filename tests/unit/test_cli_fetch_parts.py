"""What a fetch is made of: names, checksums, lists of them."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path, PurePosixPath

import pytest

from ocr_inference.command.fetch import _sources
from ocr_inference.settings import Settings
from ocr_inference.weights.download import Downloader
from ocr_inference.weights.remote import (
    Digest,
    FetchExit,
    FetchFailed,
    RemoteFile,
    identity,
    parse_sums,
)
from ocr_inference.weights.sources import offered

DATA = b"weights"


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "", ".", "a\0b"])
def test_a_source_names_no_file_outside_the_folder(name: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        RemoteFile(PurePosixPath(name), "https://example.org/x")
    assert caught.value.code is FetchExit.REFUSED


@pytest.mark.parametrize(
    "digest",
    [
        Digest("sha256", hashlib.sha256(DATA).hexdigest()),
        Digest("sha256", hashlib.sha256(DATA).hexdigest().upper()),
        Digest("md5", hashlib.md5(DATA, usedforsecurity=False).hexdigest()),
        # What `git hash-object` says.
        Digest("git", "3ab313fff6f41bb35969cd359e9ddfb8033b3ac2"),
    ],
)
def test_a_checksum_knows_its_file(digest: Digest, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(DATA)
    assert digest.matches(file)
    file.write_bytes(DATA + b"!")
    assert not digest.matches(file)


def test_a_list_of_checksums_is_what_sha256sum_writes() -> None:
    one, two = "a" * 64, "B" * 64
    sums = parse_sums(f"{one}  model.bin\n{two} *sub/other.bin\n\n# comment\n")
    assert sums == {
        PurePosixPath("model.bin"): Digest("sha256", one),
        PurePosixPath("sub/other.bin"): Digest("sha256", "b" * 64),
    }
    with pytest.raises(FetchFailed, match="sha256sum"):
        parse_sums("<html>")


def test_another_version_of_a_file_is_another_set() -> None:
    def files(size: int, query: str = "") -> list[RemoteFile]:
        return [RemoteFile(PurePosixPath("a"), f"https://example.org/a{query}", size)]

    assert identity(files(1)) != identity(files(2))
    # A signed address has another signature every time.
    assert identity(files(1, "?signature=1")) == identity(files(1, "?signature=2"))


def test_an_address_is_shown_without_its_secrets() -> None:
    file = RemoteFile(PurePosixPath("a"), "https://me:secret@example.org:444/a?signature=secret")
    assert file.shown == "https://example.org:444/a"


def test_a_models_name_means_its_repositories() -> None:
    assert _sources("paddleocr-vl") == [
        "hf://PaddlePaddle/PP-DocLayoutV3",
        "hf://PaddlePaddle/PaddleOCR-VL-1.6",
    ]
    assert _sources("paddleocr-vl:1.0")[1] == "hf://PaddlePaddle/PaddleOCR-VL"
    assert _sources("hf://a/b") == ["hf://a/b"]


@pytest.mark.parametrize("source", ["tesseract", "pp-ocr", "paddleocr-vl:9"])
def test_a_model_without_weights_to_fetch_is_said(source: str) -> None:
    with pytest.raises(FetchFailed) as caught:
        _sources(source)
    assert caught.value.code is FetchExit.USAGE


@pytest.mark.parametrize("sha256", ["abc", "g" * 64, "a" * 65, ""])
def test_a_checksum_that_is_none_is_refused_before_the_network(sha256: str) -> None:
    with pytest.raises(FetchFailed, match="64 hexadecimal digits") as caught:
        offered("https://example.org/x", sha256, Settings(), Downloader(1.0))
    assert caught.value.code is FetchExit.USAGE


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "the name nosuch.invalid is not known"),
        (socket.EAI_AGAIN, "the name nosuch.invalid cannot be looked up now"),
    ],
)
def test_a_name_that_is_not_known_is_said(
    number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_up(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(FetchFailed) as caught:
        Downloader(0.5).text("https://nosuch.invalid/models/SHA256SUMS")
    said = f"https://nosuch.invalid: no byte came for 0.5 s, and {words}."
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("ftp://example.org/x", "is no source"),
        ("weights.tar", "is no source"),
        ("http://example.org/x", "--sha256"),
        ("https://example.org/", "names no file"),
        ("https://", "^https:// names no file"),
        ("https://example.org:port/x", "no address"),
        ("hf://only-a-name", "hf://owner/name"),
        ("s3://", "s3://bucket/prefix"),
    ],
)
def test_a_source_that_is_none_is_refused_before_the_network(source: str, words: str) -> None:
    with pytest.raises(FetchFailed, match=words) as caught:
        offered(source, None, Settings(), Downloader(1.0))
    assert caught.value.code is FetchExit.USAGE
