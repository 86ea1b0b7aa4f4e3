"""The parts that read documents, put together: for the server, and for the commands that read
without one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass

from ocr_inference.engine.decoder import Decoder
from ocr_inference.engine.engines import make_engines
from ocr_inference.engine.host import Child
from ocr_inference.engine.pool import EnginePool
from ocr_inference.engine.registry import tasks_of
from ocr_inference.engine.sizes import decoders
from ocr_inference.engine.spawn import decode_spawner
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.cache import PageCache
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.rates import PageRates
from ocr_inference.reading.reader import Reader
from ocr_inference.results.outputs import Outputs
from ocr_inference.settings import Settings
from ocr_inference.startup import StartRecord
from ocr_inference.version import VERSION
from ocr_inference.vlm.service import Vlm, make_vlm
from ocr_inference.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Start:
    """The start of this process and of its first engine child. Times are CLOCK_MONOTONIC."""

    began: float
    cpu_limit: float | None
    spawn_engine: Callable[[], Child]
    first_child: Child
    spawned: float


@dataclass(frozen=True, slots=True)
class ReadingParts:
    """`reader` reads documents while `run` runs, and `outputs` writes what was read."""

    workspace: Workspace
    metrics: Metrics
    record: StartRecord
    engines: EnginePool
    vlm: Vlm | None
    admission: Admission
    rates: PageRates
    decoder: Decoder
    dispatcher: Dispatcher
    reader: Reader
    outputs: Outputs

    def run(self) -> list[asyncio.Task[None]]:
        """What runs for ever. `end` comes after it."""
        running = [
            asyncio.create_task(self.engines.run(), name="engine"),
            asyncio.create_task(self.dispatcher.run(), name="dispatcher"),
        ]
        if self.vlm is not None:
            running.append(asyncio.create_task(self.vlm.run(), name="VLM client"))
        return running

    def begin(self) -> None:
        """What is not needed to answer may be imported."""
        if self.vlm is not None:
            self.vlm.begin()

    async def end(self) -> None:
        await self.decoder.end()
        self.workspace.close()


def make_reading_parts(
    settings: Settings,
    start: Start,
    workspace: Workspace,
    admission: Admission | None = None,
    most_engines: Callable[[], int] = lambda: sys.maxsize,
) -> ReadingParts:
    """`admission` is other than what `settings` ask for. `most_engines` is asked once the first
    engine is loaded: no more than so many are there then."""
    metrics = Metrics(VERSION, settings.model)
    record = StartRecord(
        settings.model, settings.model_version, settings.backend, start.cpu_limit, start.began
    )
    record.spawned(start.spawned)
    engines = make_engines(
        settings,
        start.spawn_engine,
        start.first_child,
        start.spawned,
        metrics,
        record,
        most_engines,
    )
    vlm = make_vlm(settings, workspace, metrics)
    admission = admission or Admission(
        settings.queue_max_pages,
        settings.queue_max_pixels,
        lambda: engines.ready if vlm is None else vlm.reader.pages_now,
    )
    decoder = Decoder(
        decode_spawner(settings),
        lambda why: metrics.worker_restarts.labels("decode", why).inc(),
        decoders(start.cpu_limit),
    )
    dispatcher = Dispatcher(
        workspace, decoder, engines, admission, metrics, None if vlm is None else vlm.reader
    )
    cache = PageCache(settings.result_cache_bytes, metrics.cache_hits)
    rates = PageRates(settings.rate_limit_pages_per_minute)
    return ReadingParts(
        workspace=workspace,
        metrics=metrics,
        record=record,
        engines=engines,
        vlm=vlm,
        admission=admission,
        rates=rates,
        decoder=decoder,
        dispatcher=dispatcher,
        reader=Reader(decoder, dispatcher, cache, metrics, rates, tasks_of(settings.model)),
        outputs=Outputs(decoder, workspace),
    )
