"""The HTTP process: puts the parts together, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from fastapi import FastAPI
from uvicorn.config import Config
from uvicorn.server import Server

from ocr_inference import lifecycle, scripted_http
from ocr_inference.api.envelope import BodyLimits, Envelope
from ocr_inference.app import create_app
from ocr_inference.auth import KeyRing
from ocr_inference.engine.decoder import Decoder
from ocr_inference.engine.engines import make_engines
from ocr_inference.engine.host import Child, running_pids
from ocr_inference.engine.registry import tasks_of
from ocr_inference.engine.sizes import decoders
from ocr_inference.engine.spawn import decode_spawner
from ocr_inference.folders import Folders
from ocr_inference.gpu import GpuMetrics
from ocr_inference.http_protocol import connection_limit, header_limited
from ocr_inference.jobs.build import make_jobs
from ocr_inference.lifecycle import Lifecycle, Stage
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.cache import PageCache
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.rates import PageRates
from ocr_inference.reading.reader import Reader
from ocr_inference.results.outputs import Outputs
from ocr_inference.results.service import OcrService
from ocr_inference.services import Services
from ocr_inference.settings import Settings
from ocr_inference.sinks.bucket import Bucket
from ocr_inference.sinks.folder import FolderSink
from ocr_inference.sinks.s3 import S3Sink
from ocr_inference.sources.space import UploadSpace, upload_budget
from ocr_inference.sources.url import UrlFetcher
from ocr_inference.startup import StartRecord
from ocr_inference.vlm.service import Vlm, make_vlm
from ocr_inference.workspace import Workspace

log = logging.getLogger("ocr_inference.server")

EXIT_CONFIGURATION = 2

KEEP_ALIVE_S = 75
"""Longer than the 60 s of most load balancers, so that they and not we close idle connections."""

LAST_REQUESTS_S = 0.3
"""For requests on their way when the listener closes."""

CLOSE_S = 5
"""For answers on their way when the drain is over."""


@dataclass(frozen=True, slots=True)
class Start:
    """What was begun before the HTTP libraries were imported. Times are CLOCK_MONOTONIC."""

    began: float
    cpu_limit: float | None
    spawn_engine: Callable[[], Child]
    first_child: Child
    spawned: float
    hang_after: float | None


def run(settings: Settings, start: Start) -> None:
    """Serve until told to end. Does not return: threads stuck in a dead volume or bucket must not
    hold the exit."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_serve(settings, start))
        logging.shutdown()
        os._exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop


class _Server(Server):
    """uvicorn without its signal handlers, telling when it listens."""

    def __init__(self, config: Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A connection that was just accepted has its request on the way: closed now it would be
        # reset, and the client would not know whether its document was read.
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_REQUESTS_S)
        await super().shutdown(sockets)


@dataclass(frozen=True, slots=True)
class _Parts:
    services: Services
    decoder: Decoder
    dispatcher: Dispatcher
    vlm: Vlm | None
    output: FolderSink


async def _serve(settings: Settings, start: Start) -> int:
    try:
        workspace = Workspace(settings.temp_dir)
    except OSError as error:
        log.critical("the temporary directory cannot be used: %s", error)
        return EXIT_CONFIGURATION
    parts = _build(settings, start, workspace)
    services = parts.services
    app = create_app(services)
    later: list[asyncio.Future[object]] = []
    server = _Server(_config(services, app), lambda: later.extend(_listening(parts, app)))
    loop = asyncio.get_running_loop()
    lifecycle.handle_signals(
        was_ready=lambda: services.engine.was_ready,
        drain=_drainer(services, server),
        abandon=services.workspace.close,
        loop=loop,
    )
    if start.hang_after is not None:
        scripted_http.hang_after(start.hang_after)
    tasks = [
        asyncio.create_task(services.engine.run(), name="engine"),
        asyncio.create_task(parts.dispatcher.run(), name="dispatcher"),
        asyncio.create_task(services.jobs.run(), name="keeper of jobs"),
        asyncio.create_task(lifecycle.reap_orphans(running_pids), name="reaper"),
    ]
    if parts.vlm is not None:
        tasks.append(asyncio.create_task(parts.vlm.run(), name="VLM client"))
    for task in tasks:
        task.add_done_callback(lambda done: _broken(done, server))
    await server.serve()
    broken = any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await parts.decoder.end()
    services.workspace.close()
    return 1 if broken else 0


def _build(settings: Settings, start: Start, workspace: Workspace) -> _Parts:
    number = version("ocr-inference")
    metrics = Metrics(number, settings.model)
    record = StartRecord(
        settings.model, settings.model_version, settings.backend, start.cpu_limit, start.began
    )
    record.spawned(start.spawned)
    engine = make_engines(
        settings, start.spawn_engine, start.first_child, start.spawned, metrics, record
    )
    vlm = make_vlm(settings, workspace, metrics)
    admission = Admission(
        settings.queue_max_pages,
        settings.queue_max_pixels,
        lambda: engine.ready if vlm is None else vlm.reader.pages_now,
    )
    cache = PageCache(settings.result_cache_bytes, metrics.cache_hits)
    metrics.watch(
        lambda: admission.pages + jobs.waiting_pages, lambda: admission.pixels, lambda: engine.ready
    )
    decoder = Decoder(
        decode_spawner(settings),
        lambda why: metrics.worker_restarts.labels("decode", why).inc(),
        decoders(start.cpu_limit),
    )
    dispatcher = Dispatcher(
        workspace, decoder, engine, admission, metrics, None if vlm is None else vlm.reader
    )
    rates = PageRates(settings.rate_limit_pages_per_minute)
    bucket = Bucket(settings)
    sink = S3Sink(bucket, metrics)
    # The folder is for a server without S3 alone.
    output = FolderSink(None if sink.configured else settings.output_dir, metrics)
    reader = Reader(decoder, dispatcher, cache, metrics, rates, tasks_of(settings.model))
    uploads = _upload_space(settings, admission)
    stages = Lifecycle(settings.lame_duck_s, settings.drain_timeout_s)
    ocr = OcrService(sink, output, metrics)
    jobs = make_jobs(
        settings,
        bucket,
        reader,
        ocr,
        workspace,
        uploads,
        stages,
        metrics,
        lambda: record.model_name,
        admission.retry_after,
        lambda: stages.stage is Stage.SERVING and engine.ready > 0,
    )
    services = Services(
        settings=settings,
        version=number,
        record=record,
        engine=engine,
        vlm=None if vlm is None else vlm.health,
        lifecycle=stages,
        admission=admission,
        keys=KeyRing(settings.keys_dir, wanted=settings.auth_mode == "Token"),
        rates=rates,
        sink=sink,
        metrics=metrics,
        workspace=workspace,
        uploads=uploads,
        urls=UrlFetcher(settings, metrics, number),
        folders=Folders({"temp_dir": settings.temp_dir, "output_dir": output.folder}),
        reader=reader,
        ocr=ocr,
        outputs=Outputs(decoder, workspace),
        decoder=decoder,
        jobs=jobs,
    )
    return _Parts(services, decoder, dispatcher, vlm, output)


def _upload_space(settings: Settings, admission: Admission) -> UploadSpace:
    free = shutil.disk_usage(settings.temp_dir).free
    budget = upload_budget(settings.queue_max_bytes, settings.max_upload_bytes, free)
    return UploadSpace(budget, admission.retry_after)


def _config(services: Services, app: FastAPI) -> Config:
    settings = services.settings
    limits = BodyLimits(settings.max_upload_bytes, settings.upload_timeout_s)
    return Config(
        Envelope(app, limits, services.lifecycle, services.metrics),
        host=settings.host,
        port=settings.port,
        http=header_limited(settings.header_timeout_s, connection_limit()),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
    )


def _listening(parts: _Parts, app: FastAPI) -> list[asyncio.Future[object]]:
    """The process answers from now on; what was not needed for that is begun."""
    services = parts.services
    services.record.answering(time.monotonic())
    services.folders.watch()
    GpuMetrics().watch(services.metrics.registry)
    services.sink.prepare()
    parts.output.prepare()
    if parts.vlm is not None:
        parts.vlm.begin()
    return [
        asyncio.ensure_future(parts.decoder.start()),
        # Takes a while, and on the loop the first visitor of /docs would hold up the probes.
        asyncio.ensure_future(asyncio.to_thread(app.openapi)),
    ]


def _drainer(services: Services, server: Server) -> Callable[[bool], None]:
    draining: list[asyncio.Task[None]] = []

    async def drain(patient: bool) -> None:
        # At once: another replica has the jobs while this one is still a lame duck.
        leaving = asyncio.create_task(services.jobs.leave())
        await services.lifecycle.drain(patient)
        await leaving
        server.should_exit = True

    def begin(patient: bool) -> None:
        if not draining:
            draining.append(asyncio.create_task(drain(patient)))

    return begin


def _broken(task: asyncio.Task[None], server: Server) -> None:
    """A part that must run for ever has ended: better a new container than a server without it."""
    if not task.cancelled():
        log.critical("the %s stopped", task.get_name(), exc_info=task.exception())
        server.should_exit = True
