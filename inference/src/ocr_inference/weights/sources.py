"""The sources of weights, and what each of them offers: an address, a bucket, a model hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urljoin, urlsplit

from ocr_inference.settings import Settings
from ocr_inference.weights.download import Downloader
from ocr_inference.weights.remote import (
    SUMS,
    Digest,
    FetchExit,
    FetchFailed,
    RemoteFile,
    parse_sums,
    shown,
)

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def offered(
    source: str, sha256: str | None, settings: Settings, downloader: Downloader
) -> list[RemoteFile]:
    """The files of `source`. `sha256` is the checksum of a source that is one file.

    Raises `FetchFailed`.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise FetchFailed(FetchExit.USAGE, f"--sha256 is 64 hexadecimal digits, not {sha256!r}.")
    digest = None if sha256 is None else Digest("sha256", sha256.lower())
    scheme = _scheme(source)
    match scheme:
        case "https":
            files = _web_files(source, digest, downloader)
        case "http" if digest is not None:
            files = _web_files(source, digest, downloader)
        case "http":
            raise FetchFailed(
                FetchExit.USAGE, "http:// can be changed on its way: give --sha256, or use https."
            )
        case "s3":
            from ocr_inference.weights.bucket import bucket_files

            files = bucket_files(source, settings, downloader)
        case "hf":
            files = _hub_files(source, downloader)
        case _:
            raise FetchFailed(
                FetchExit.USAGE,
                f"{source!r} is no source: give https://…, s3://bucket/prefix, hf://owner/name "
                "or a model's name.",
            )
    if digest is None or _is_sums(source):
        return files
    return [_with_digest(files, digest)]


def _scheme(source: str) -> str:
    try:
        parts = urlsplit(source)
        _ = parts.port  # looked at when it is asked for
    except ValueError as error:
        # Not what it is: a part of it may be a secret.
        wrong = "The source is no address: its server or its port is wrong."
        raise FetchFailed(FetchExit.USAGE, wrong) from error
    return parts.scheme


def _with_digest(files: list[RemoteFile], digest: Digest) -> RemoteFile:
    if len(files) != 1:
        raise FetchFailed(
            FetchExit.USAGE, f"--sha256 is for one file, and this source has {len(files)}."
        )
    (file,) = files
    return replace(file, digest=digest)


def _is_sums(url: str) -> bool:
    return urlsplit(url).path.rpartition("/")[2] == SUMS


def _web_files(url: str, digest: Digest | None, downloader: Downloader) -> list[RemoteFile]:
    """One file, or those that a `SHA256SUMS` lists; for one file, the `SHA256SUMS` beside it."""
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    if not name:
        raise FetchFailed(FetchExit.USAGE, f"{shown(url)} names no file.")
    if _is_sums(url):
        text = downloader.text(url)
        if text is None:
            raise FetchFailed(FetchExit.REFUSED, f"{shown(url)}: the server answers 404.")
        _check_text(text, digest, url)
        return [
            RemoteFile(name, urljoin(url, quote(str(name))), digest=sum_)
            for name, sum_ in parse_sums(text).items()
        ]
    if digest is None:
        sums = downloader.text(urljoin(url, SUMS))
        # Many servers answer every address with a page.
        if sums is not None and not sums.lstrip().startswith("<"):
            digest = parse_sums(sums).get(PurePosixPath(name))
    return [RemoteFile(PurePosixPath(name), url, digest=digest)]


def _check_text(text: str, digest: Digest | None, url: str) -> None:
    if digest is not None and hashlib.sha256(text.encode()).hexdigest() != digest.value:
        raise FetchFailed(FetchExit.CHECKSUM, f"{shown(url)} has another SHA-256 than it should.")


def _hub_files(source: str, downloader: Downloader) -> list[RemoteFile]:
    """All files of one commit of `hf://owner/name[@revision]`, with the hub's own checksums.

    By the hub's HTTP API and not by huggingface_hub, which compares sizes only and waits long for a
    download that has stalled. https://huggingface.co/docs/hub/api
    """
    repository, _, revision = source.removeprefix("hf://").strip("/").partition("@")
    if repository.count("/") != 1:
        raise FetchFailed(FetchExit.USAGE, "A repository of the hub is hf://owner/name[@revision].")
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    token = os.environ.get("HF_TOKEN", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    wanted = quote(revision or "main", safe="")
    text = downloader.text(
        f"{endpoint}/api/models/{repository}/revision/{wanted}?blobs=true", headers
    )
    if text is None:
        raise FetchFailed(
            FetchExit.REFUSED, f"The hub has no {repository} at {revision or 'main'}."
        )
    folder = PurePosixPath(repository.partition("/")[2])
    try:
        about = json.loads(text)
        return [
            RemoteFile(
                folder / entry["rfilename"],
                f"{endpoint}/{repository}/resolve/{about['sha']}/{quote(entry['rfilename'])}",
                entry.get("size"),
                _hub_digest(entry),
                headers,
            )
            for entry in about["siblings"]
            if entry["rfilename"] != ".gitattributes"
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise FetchFailed(
            FetchExit.REFUSED, f"{shown(endpoint)} does not answer as a model hub does."
        ) from error


def _hub_digest(entry: dict[str, object]) -> Digest | None:
    lfs, blob = entry.get("lfs"), entry.get("blobId")
    if isinstance(lfs, dict):
        return Digest("sha256", str(lfs["sha256"]))
    return None if blob is None else Digest("git", str(blob))
