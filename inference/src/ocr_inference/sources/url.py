"""`image_url`: a document fetched for a client, from public addresses alone.

A server inside a cluster that fetches what strangers name is a way into the cluster. So a name is
resolved once, every answer is checked, and the connection goes to the very address that was
checked; the same for every redirect. TLS and `Host` keep the name.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn

import httpcore
from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.settings import Settings
from ocr_inference.sources.addresses import Address, is_public
from ocr_inference.sources.file import WRITE_BYTES, Document, DocumentFile
from ocr_inference.sources.lookup import Lookups, NoSuchName
from ocr_inference.sources.space import Reservation
from ocr_inference.sources.target import Blocked, Target, is_allowed, parse
from ocr_inference.sources.upload import clean_name

STEP_TIMEOUT_S = 5.0
"""For one connect, one TLS handshake, one read."""

LEAST_BYTES_PER_S = 1024
RATE_GRACE_S = 5.0
"""A server that is slower than this over the whole body, once so long has passed, is given up."""

MOST_ADDRESSES = 4
"""Of one name that are tried, one after the other."""

_REDIRECTS = frozenset((301, 302, 303, 307, 308))

_HEADERS = (
    ("Accept", "application/pdf, image/*, */*;q=0.1"),
    # A small compressed answer may hold gigabytes.
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)


class UrlFetcher:
    def __init__(self, settings: Settings, metrics: Metrics, version: str) -> None:
        self._settings = settings
        self._metrics = metrics
        self._headers = (*_HEADERS, ("User-Agent", f"ocr-inference/{version}"))
        self._lookups = Lookups(STEP_TIMEOUT_S)

    async def fetch(self, url: str, path: Path, space: Reservation, deadline: float) -> Document:
        """What is at `url`, written to `path`. `deadline` is on the monotonic clock.

        Raises `PublicError`: 422 url_not_allowed, with one text for every reason, so that nobody
        learns what there is behind us; 413 file_too_large; 502 url_fetch_failed; 503 storage_full,
        queue_full; 504 deadline_exceeded.
        """
        if not self._settings.url_enabled:
            self._metrics.url_blocked.labels("disabled").inc()
            raise PublicError(422, "url_not_allowed", "This server fetches no URLs.")
        own = self._settings.url_timeout_s
        try:
            async with asyncio.timeout(min(own, deadline - time.monotonic())):
                return await self._fetch(parse(url), path, space)
        except Blocked as blocked:
            self._metrics.url_blocked.labels(blocked.reason).inc()
            raise PublicError(
                422,
                "url_not_allowed",
                "Only http and https URLs of allowed hosts, with public addresses and the usual "
                "ports, are fetched.",
            ) from None
        except TimeoutError:
            if deadline <= time.monotonic():
                raise PublicError(
                    504, "deadline_exceeded", "The document was not fetched before its deadline."
                ) from None
            raise _failed(f"it was not read within {own:g} s") from None
        except (httpcore.TimeoutException, httpcore.NetworkError, ssl.SSLError):
            raise _failed("its host could not be reached or stopped answering") from None
        except httpcore.ProtocolError:
            raise _failed("its host does not answer in HTTP") from None

    async def _fetch(self, target: Target, path: Path, space: Reservation) -> Document:
        context = await asyncio.to_thread(lambda: self._tls)
        async with httpcore.AsyncConnectionPool(
            context,
            network_backend=PublicOnly(self._lookups, space.client),
            max_keepalive_connections=0,
        ) as pool:
            for _ in range(self._settings.url_max_redirects + 1):
                async with self._answer(pool, target) as answer:
                    if answer.status not in _REDIRECTS:
                        return await self._save(answer, target, path, space)
                    target = target.redirected(_header(answer, b"location"))
        raise _failed("it redirects too often")

    @asynccontextmanager
    async def _answer(
        self, pool: httpcore.AsyncConnectionPool, target: Target
    ) -> AsyncIterator[httpcore.Response]:
        if not is_allowed(target.host, self._settings.url_allowed_hosts):
            raise Blocked("host")
        url = httpcore.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        host = ("Host", f"[{target.host}]" if ":" in target.host else target.host)
        steps = dict.fromkeys(("connect", "read", "write"), STEP_TIMEOUT_S)
        async with pool.stream(
            "GET", url, headers=(host, *self._headers), extensions={"timeout": steps}
        ) as answer:
            yield answer

    async def _save(
        self, answer: httpcore.Response, target: Target, path: Path, space: Reservation
    ) -> Document:
        if answer.status != 200:
            raise _failed(f"its host answered with status {answer.status}")
        if _header(answer, b"content-encoding").lower() not in ("", "identity"):
            raise _failed("its host sent it compressed, which was not asked for")
        length = _header(answer, b"content-length")
        if length.isdecimal() and int(length) > self._settings.url_max_bytes:
            self._too_large()
        buffer = bytearray()
        with await asyncio.to_thread(DocumentFile, path) as file:
            async for chunk in space.counted(self._bounded(answer)):
                buffer += chunk
                if len(buffer) >= WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(buffer))
                    buffer.clear()
            await asyncio.to_thread(file.write, bytes(buffer))
            name = clean_name(target.path.partition("?")[0])
            return await asyncio.to_thread(file.finish, name)

    async def _bounded(self, answer: httpcore.Response) -> AsyncIterator[bytes]:
        received, began = 0, time.monotonic()
        async for chunk in answer.aiter_stream():
            received += len(chunk)
            if received > self._settings.url_max_bytes:
                self._too_large()
            passed = time.monotonic() - began
            if passed > RATE_GRACE_S and received < LEAST_BYTES_PER_S * passed:
                raise _failed("its host sends too slowly")
            yield chunk

    def _too_large(self) -> NoReturn:
        limit = self._settings.url_max_bytes
        raise PublicError(
            413, "file_too_large", f"The document exceeds {limit} bytes.", limit=limit
        )

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The system's authorities and certifi's; `SSL_CERT_FILE` names others."""
        return httpcore.default_ssl_context()


class PublicOnly(AsyncNetworkBackend):
    """Connects to public addresses only, whatever a name is made to resolve to meanwhile."""

    def __init__(
        self, lookups: Lookups, client: str, connector: AsyncNetworkBackend | None = None
    ) -> None:
        self._lookups = lookups
        self._client = client
        self._connector = connector or AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        # One that is not public among others is how a name is made to pass once and lead elsewhere
        # the next time.
        if not all(map(is_public, addresses)):
            raise Blocked("address")
        failure: Exception = httpcore.ConnectError("the name has no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._connector.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            return await self._lookups.addresses(self._client, host, port)
        except NoSuchName:
            # Told like a private address, or the names of a cluster could be guessed.
            raise Blocked("unresolved") from None
        except OSError as error:  # TimeoutError is one
            raise httpcore.ConnectError("the name was not resolved") from error


def _header(answer: httpcore.Response, wanted: bytes) -> str:
    """The one value of a header; empty where there is none. More than one is taken for trouble."""
    values = [value for name, value in answer.headers if name.lower() == wanted]
    return b", ".join(values).decode("utf-8", "replace")


def _failed(why: str) -> PublicError:
    return PublicError(502, "url_fetch_failed", f"The URL was not fetched: {why}.")
