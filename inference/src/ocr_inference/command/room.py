"""The parts that read documents, put together without a server around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from ocr_inference.auth import ANONYMOUS
from ocr_inference.engine.cpu import cpu_limit
from ocr_inference.engine.decoder import Decoder
from ocr_inference.engine.engines import make_engines
from ocr_inference.engine.pool import EnginePool
from ocr_inference.engine.registry import tasks_of
from ocr_inference.engine.sizes import decoders
from ocr_inference.engine.spawn import decode_spawner, engine_spawner
from ocr_inference.engine.supervisor import EngineState
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.cache import PageCache
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.rates import PageRates
from ocr_inference.reading.reader import Reader
from ocr_inference.reading.request import Reading, ReadRequest, Watcher
from ocr_inference.results.outputs import Outputs
from ocr_inference.settings import Settings
from ocr_inference.startup import StartRecord
from ocr_inference.vlm.service import Vlm, make_vlm
from ocr_inference.workspace import Workspace

CLIENT = ANONYMOUS
"""The one who asks here; limits of clients are for servers."""

_CHECK_S = 0.05


class EngineFailed(Exception):
    """The model cannot be loaded; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Room:
    """`read` documents and write them with `outputs`, as the server does."""

    record: StartRecord
    engines: EnginePool
    outputs: Outputs
    reader: Reader
    admission: Admission

    async def read(self, request: ReadRequest, watcher: Watcher) -> Reading:
        """Raises `PublicError`, as `Reader.read` does."""
        with self.admission.admit(request.client) as ticket:
            return await self.reader.read(request, ticket, watcher)

    async def fail(self) -> None:
        """Returns never; raises `EngineFailed` once no engine can be loaded."""
        while True:
            if self.engines.state is EngineState.FAILED:
                raise EngineFailed(self.engines.error)
            await asyncio.sleep(_CHECK_S)


@asynccontextmanager
async def reading_room(
    settings: Settings, engines_wanted: Callable[[], int]
) -> AsyncIterator[Room]:
    """Engines are loading from the start, and everything is ended with it.

    `engines_wanted` is asked once the first is loaded: no more than so many are there then.
    """
    limit = cpu_limit()
    # Nobody waits for what is read here: a document may be as long as a job's.
    settings = settings.model_copy(update={"max_pages_sync": settings.max_pages_async})
    metrics = Metrics(version("ocr-inference"), settings.model)
    workspace = Workspace(settings.temp_dir)
    record = StartRecord(
        settings.model, settings.model_version, settings.backend, limit, time.monotonic()
    )
    spawn = engine_spawner(settings, settings.script, limit)
    record.spawned(spawned := time.monotonic())
    engines = make_engines(settings, spawn, spawn(), spawned, metrics, record, engines_wanted)
    vlm = make_vlm(settings, workspace, metrics)
    admission = Admission.unbounded()
    decoder = Decoder(
        decode_spawner(settings),
        lambda why: metrics.worker_restarts.labels("decode", why).inc(),
        decoders(limit),
    )
    dispatcher = Dispatcher(
        workspace, decoder, engines, admission, metrics, None if vlm is None else vlm.reader
    )
    reader = Reader(
        decoder,
        dispatcher,
        PageCache(0, metrics.cache_hits),
        metrics,
        PageRates(0),
        tasks_of(settings.model),
    )
    running = [asyncio.create_task(part) for part in _lives(engines, dispatcher, vlm)]
    try:
        yield Room(record, engines, Outputs(decoder, workspace), reader, admission)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await decoder.end()
        workspace.close()


def _lives(
    engines: EnginePool, dispatcher: Dispatcher, vlm: Vlm | None
) -> Iterator[Coroutine[Any, Any, None]]:
    yield engines.run()
    yield dispatcher.run()
    if vlm is not None:
        vlm.begin()
        yield vlm.run()
