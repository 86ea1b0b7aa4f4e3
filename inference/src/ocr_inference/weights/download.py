"""One file over HTTP: taken up where it broke off, given up when no byte comes for too long."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, ResponseError, SSLError
from urllib3.response import BaseHTTPResponse

from ocr_inference.errors import DISK_FULL
from ocr_inference.unreachable import why_unreachable
from ocr_inference.weights.remote import FetchExit, FetchFailed, RemoteFile, shown

T = TypeVar("T")

_READ_BYTES = 256 * 1024
_CONNECT_S = 10.0
_LONGEST_WAIT_S = 10.0
_MOST_TEXT_BYTES = 16 * 1024**2
_REDIRECTS = 5
_PASSING = frozenset((408, 425, 429, 500, 502, 503, 504))


class _Again(Exception):
    """Another attempt may help; the sentence says what went wrong with this one."""


class Downloader:
    """`idle_timeout` is in seconds: so long without a new byte, retries included, and it ends."""

    def __init__(
        self,
        idle_timeout: float,
        on_bytes: Callable[[int], None] = lambda _count: None,
        on_retry: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self._idle = idle_timeout
        self._on_bytes = on_bytes
        self._on_retry = on_retry
        self._last_byte = 0.0

    def file(self, file: RemoteFile, part: Path) -> None:
        """Download to `part`, or what is missing of it. It is whole on return, and not checked.

        Raises `FetchFailed`; what has come stays in `part` for the next time.
        """
        try:
            self._patiently(file.url, lambda: self._append(file, part))
        except OSError as error:
            raise disk_failed(error) from error

    def text(self, url: str, headers: dict[str, str] | None = None) -> str | None:
        """A small document, None where there is none. Raises `FetchFailed`."""

        def get() -> str | None:
            response = self._request(url, headers or {})
            try:
                if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                    return None
                _check(response, url)
                body = response.read(_MOST_TEXT_BYTES)
                return body.decode("utf-8", errors="replace")
            finally:
                response.close()

        return self._patiently(url, get)

    def _patiently(self, url: str, attempt: Callable[[], T]) -> T:
        self._last_byte = time.monotonic()
        tries, told = 0, ""
        while True:
            began = self._last_byte
            try:
                return attempt()
            except (_Again, HTTPError) as error:
                place, reason = _what_failed(error, url)
                if self._last_byte > began:
                    tries, told = 0, ""
                else:
                    tries += 1
            # Half at random: a hundred pods that lost the same server do not come back together.
            wait = min(_LONGEST_WAIT_S, 0.5 * 2**tries) * random.uniform(0.5, 1.0)  # noqa: S311
            if self._remaining() <= wait:
                raise FetchFailed(
                    FetchExit.UNREACHABLE,
                    f"{place}: no byte came for {self._idle:g} s, and {reason}",
                )
            if reason != told:  # once, however often it is tried
                self._on_retry(f"{place}: {reason}")
                told = reason
            time.sleep(wait)

    def _remaining(self) -> float:
        return self._last_byte + self._idle - time.monotonic()

    def _append(self, file: RemoteFile, part: Path) -> None:
        beside = part.with_name(part.name + ".validator")
        offset, headers = _resumption(file, part, beside)
        response = self._request(file.url, {**file.headers, **headers})
        try:
            if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                if offset == file.size:
                    return
                part.unlink()
                raise _Again("the file has become shorter.")
            _check(response, file.url)
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                # No ranges here, or the file has changed: from the beginning.
                self._on_bytes(-offset)
                offset = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                part.unlink()
                raise _Again("the server sent another part than the one asked for.")
            whole = _length(response, offset)
            _check_room(file, part, whole, offset)
            beside.write_text(json.dumps(_validator(response)))
            self._copy(response, part, offset)
            if whole is not None and part.stat().st_size < whole:
                raise _Again("the connection ended before the file did.")
        finally:
            response.close()

    def _copy(self, response: BaseHTTPResponse, part: Path, offset: int) -> None:
        with part.open("r+b" if offset else "wb") as stream:
            stream.seek(offset)
            stream.truncate()
            while chunk := response.read1(_READ_BYTES, decode_content=False):
                self._last_byte = time.monotonic()
                stream.write(chunk)
                self._on_bytes(len(chunk))

    def _request(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        remaining = max(0.1, self._remaining())
        response = _pool_for(url).request(
            "GET",
            url,
            # Encoded, a byte's place in the answer is not its place in the file.
            headers={"Accept-Encoding": "identity", "User-Agent": "ocr-inference", **headers},
            preload_content=False,
            # Half of it: a connection that has stalled is worth another one.
            timeout=urllib3.Timeout(
                connect=min(_CONNECT_S, remaining), read=min(self._idle / 2, remaining)
            ),
            retries=urllib3.Retry(None, connect=0, read=0, redirect=_REDIRECTS, status=0, other=0),
        )
        if url.startswith("https:") and (response.url or url).startswith("http:"):
            response.close()
            raise FetchFailed(
                FetchExit.REFUSED, f"{shown(url)} leads to an address without encryption."
            )
        return response


def disk_failed(error: OSError) -> FetchFailed:
    where = error.filename or "the target folder"
    if error.errno in DISK_FULL:
        return FetchFailed(FetchExit.NO_SPACE, "There is no room left on the disk.")
    return FetchFailed(FetchExit.NOT_WRITABLE, f"{where} cannot be written: {error.strerror}.")


def _resumption(file: RemoteFile, part: Path, beside: Path) -> tuple[int, dict[str, str]]:
    """How much is there, and the headers that ask for the rest of the same version."""
    offset = part.stat().st_size if part.exists() else 0
    if not offset:
        return 0, {}
    try:
        validator = json.loads(beside.read_text())
    except (OSError, ValueError):
        validator = None
    if isinstance(validator, str):
        return offset, {"Range": f"bytes={offset}-", "If-Range": validator}
    if file.digest is not None:  # which tells whether the halves belong together
        return offset, {"Range": f"bytes={offset}-"}
    part.unlink()
    return 0, {}


def _validator(response: BaseHTTPResponse) -> str | None:
    """What names this version of the file; a weak ETag may not be used for ranges (RFC 9110)."""
    etag = response.headers.get("ETag")
    if etag is not None and etag.startswith('"'):
        return etag
    return response.headers.get("Last-Modified")


def _length(response: BaseHTTPResponse, offset: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() else None


def _check_room(file: RemoteFile, part: Path, whole: int | None, offset: int) -> None:
    if whole is not None and file.size is not None and whole != file.size:
        raise FetchFailed(
            FetchExit.CHECKSUM, f"{file.shown} has {whole} bytes; {file.size} were promised."
        )
    free = shutil.disk_usage(part.parent).free
    if whole is not None and whole - offset > free:
        raise no_room(whole - offset, free)


def no_room(needed: int, free: int) -> FetchFailed:
    return FetchFailed(
        FetchExit.NO_SPACE,
        f"{needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free on the disk.",
    )


def _check(response: BaseHTTPResponse, url: str) -> None:
    status = response.status
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    answer = f"the server answers {status} {response.reason or ''}".rstrip()
    if status in _PASSING:
        raise _Again(f"{answer}.")
    hint = " Is a token or a signature missing?" if status in (401, 403) else ""
    raise FetchFailed(FetchExit.REFUSED, f"{shown(url)}: {answer}.{hint}")


def _what_failed(error: _Again | HTTPError, url: str) -> tuple[str, str]:
    """What it is about, and a sentence. Raises `FetchFailed` for what no other attempt mends."""
    if isinstance(error, _Again):
        return shown(url), str(error)
    reason = error.reason if isinstance(error, MaxRetryError) else error
    if isinstance(reason, SSLError):
        raise FetchFailed(
            FetchExit.REFUSED, f"{shown(url)}: the encryption cannot be trusted ({reason})."
        )
    if isinstance(reason, ResponseError):
        raise FetchFailed(FetchExit.REFUSED, f"{shown(url)}: more than {_REDIRECTS} redirects.")
    if isinstance(reason, LocationValueError):
        raise FetchFailed(FetchExit.USAGE, f"{shown(url)} is no address.")
    # The server alone: the file asked for may be one that the user has not named.
    return shown(urljoin(url, "/")).rstrip("/"), f"{why_unreachable(error)}."


def _pool_for(url: str) -> urllib3.PoolManager:
    """Through the proxy that the environment names, if it names one for this host."""
    parts = urllib3.util.parse_url(url)
    proxy = getproxies().get(parts.scheme or "")
    if proxy and not proxy_bypass(parts.host or ""):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()
