"""The parts that read documents, put together without a server around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ocr_inference.auth import ANONYMOUS
from ocr_inference.engine.cpu import cpu_limit
from ocr_inference.engine.spawn import engine_spawner
from ocr_inference.engine.supervisor import EngineState
from ocr_inference.parts import ReadingParts, Start, make_reading_parts
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.request import Reading, ReadRequest, Watcher
from ocr_inference.settings import Settings
from ocr_inference.workspace import Workspace

CLIENT = ANONYMOUS
"""The one who asks here; limits of clients are for servers."""

_CHECK_S = 0.05


class EngineFailed(Exception):
    """The model cannot be loaded; the sentence says why."""


class NoRoom(Exception):
    """There is nowhere for page images; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Room:
    """`read` documents and write them with the outputs of `parts`, as the server does."""

    parts: ReadingParts

    async def read(self, request: ReadRequest, watcher: Watcher) -> Reading:
        """Raises `PublicError`, as `Reader.read` does."""
        with self.parts.admission.admit(request.client) as ticket:
            return await self.parts.reader.read(request, ticket, watcher)

    async def fail(self) -> None:
        """Returns never; raises `EngineFailed` once no engine can be loaded."""
        while True:
            if self.parts.engines.state is EngineState.FAILED:
                raise EngineFailed(self.parts.engines.error)
            await asyncio.sleep(_CHECK_S)


@asynccontextmanager
async def reading_room(
    settings: Settings, engines_wanted: Callable[[], int]
) -> AsyncIterator[Room]:
    """Engines are loading from the start, and everything is ended with it.

    `engines_wanted` is asked once the first is loaded: no more than so many are there then.
    Raises `NoRoom` where the temporary directory cannot be used.
    """
    limit, began = cpu_limit(), time.monotonic()
    settings = settings.model_copy(
        update={
            # Nobody waits for what is read here: a document may be as long as a job's.
            "max_pages_sync": settings.max_pages_async,
            "result_cache_bytes": 0,
            "rate_limit_pages_per_minute": 0,
        }
    )
    try:
        workspace = Workspace(settings.temp_dir)
    except OSError as error:
        where = f"{settings.temp_dir}: {error.strerror}"
        raise NoRoom(f"the temporary directory cannot be used: {where}.") from error
    spawn = engine_spawner(settings, settings.script, limit)
    spawned, first = time.monotonic(), spawn()
    start = Start(began, limit, spawn, first, spawned)
    parts = make_reading_parts(settings, start, workspace, Admission.unbounded(), engines_wanted)
    running = parts.run()
    parts.begin()
    try:
        yield Room(parts)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await parts.end()
