"""What a bench measures: engines of this process' own, or a server over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import urllib3
from urllib3.exceptions import HTTPError

from ocr_inference.command.room import CLIENT, EngineFailed, Room, reading_room
from ocr_inference.engine.cgroup import memory_limit
from ocr_inference.engine.cpu import cpu_limit
from ocr_inference.errors import PublicError
from ocr_inference.reading.request import ReadRequest, Watcher
from ocr_inference.settings import Settings
from ocr_inference.sources.file import Document
from ocr_inference.unreachable import why_unreachable
from ocr_inference.version import VERSION

_HOUR_S = 3600.0

_NO_ANSWER = (HTTPError, ValueError, KeyError, TypeError)
"""Of the connection, or of a body that is not ours."""


class ReadFailed(Exception):
    """A document was not read; the sentence says why."""


class Target(Protocol):
    async def read(self, file: Path) -> int:
        """The pages of one document. Raises `ReadFailed`."""
        ...

    async def about(self) -> dict[str, Any]: ...


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    limit, physical = memory_limit(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu_limit": cpu_limit(),
        # cgroup v1 says a number that no machine has where there is no limit.
        "memory_limit_mib": limit // 1024**2 if limit is not None and limit < physical else None,
        "cpu": _cpu_name(),
        "python": platform.python_version(),
    }


class Here:
    """As many engines as documents at a time, in children of this process."""

    def __init__(self, settings: Settings, concurrency: int) -> None:
        self._settings = settings.model_copy(update={"engine_workers": concurrency})
        self._concurrency = concurrency
        self._stack = AsyncExitStack()
        self._room: Room | None = None

    async def __aenter__(self) -> Self:
        room = await self._stack.enter_async_context(
            reading_room(self._settings, lambda: self._concurrency)
        )
        failed = asyncio.ensure_future(room.fail())
        self._stack.callback(failed.cancel)
        try:
            while room.parts.engines.ready < self._concurrency:
                if failed.done():
                    failed.result()
                await asyncio.sleep(0.02)
        except EngineFailed:
            await self._stack.aclose()
            raise
        self._room = room
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def read(self, file: Path) -> int:
        assert self._room is not None  # noqa: S101 - for the type checker
        # Its size and its checksum are for an answer, which nobody makes here.
        document = Document(file, file.name, size=0, sha256="")
        request = ReadRequest(CLIENT, document, time.monotonic() + _HOUR_S, fresh=True)
        try:
            return len((await self._room.read(request, Watcher())).pages)
        except PublicError as error:
            raise ReadFailed(f"{file}: {error}") from error

    async def about(self) -> dict[str, Any]:
        assert self._room is not None  # noqa: S101
        record = self._room.parts.record
        return {
            "model": record.model_name,
            "ocr-inference": VERSION,
            **record.engine_versions,
        }


class There:
    """`POST /ocr` of a running server, one connection for each document at a time."""

    def __init__(self, url: str, key: str | None, concurrency: int) -> None:
        self._url = url.rstrip("/")
        # Without it the second reading of a document would be the cache's.
        self._headers = {"Cache-Control": "no-store"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._threads = ThreadPoolExecutor(concurrency)
        self._http = urllib3.PoolManager(
            maxsize=concurrency, block=True, retries=False, timeout=_HOUR_S
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.clear()

    async def read(self, file: Path) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._post, file)

    async def about(self) -> dict[str, Any]:
        return {"url": self._url, **await asyncio.to_thread(self._health)}

    def _post(self, file: Path) -> int:
        url = f"{self._url}/ocr"
        try:
            answer = self._http.request(
                "POST",
                url,
                fields=[("file", (file.name, file.read_bytes())), ("include", "blocks")],
                headers=self._headers,
            )
            body = json.loads(answer.data)
            if answer.status == 200:
                return len(body["pages"])
            sentence = body["error"]["message"]
        except OSError as error:
            raise ReadFailed(f"{file} cannot be read: {error.strerror}.") from error
        except _NO_ANSWER as error:
            raise self._no_answer(error) from error
        raise ReadFailed(f"{file}: {url} answers {answer.status}: {sentence}")

    def _health(self) -> dict[str, Any]:
        try:
            answer = self._http.request("GET", f"{self._url}/health")
            body = json.loads(answer.data)
            return {"model": body["model"], "ocr-inference": body["version"]}
        except _NO_ANSWER as error:
            raise self._no_answer(error) from error

    def _no_answer(self, error: Exception) -> ReadFailed:
        if isinstance(error, HTTPError):
            return ReadFailed(f"{self._url}: {why_unreachable(error)}.")
        return ReadFailed(f"{self._url} does not answer as ocr-inference does.")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )
