"""The HTTP process: puts the parts together, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator

from fastapi import FastAPI
from uvicorn.config import Config
from uvicorn.server import Server

from ocr_inference import lifecycle, scripted_http
from ocr_inference.api.envelope import BodyLimits, Envelope
from ocr_inference.app import create_app, create_metrics_app
from ocr_inference.auth import KeyRing
from ocr_inference.engine.host import running_pids
from ocr_inference.folders import Folders
from ocr_inference.gpu import GpuMetrics
from ocr_inference.http_protocol import connection_limit, limited_protocol
from ocr_inference.jobs.build import make_jobs
from ocr_inference.lifecycle import Lifecycle
from ocr_inference.parts import ReadingParts, Start, make_reading_parts
from ocr_inference.reading.admission import Admission
from ocr_inference.results.service import OcrService
from ocr_inference.results.untaken import Untaken
from ocr_inference.services import Services
from ocr_inference.settings import Settings
from ocr_inference.sinks.bucket import Bucket
from ocr_inference.sinks.folder import FolderSink
from ocr_inference.sinks.s3 import S3Sink
from ocr_inference.sources.space import MAX_REST_BYTES, UploadSpace, upload_budget
from ocr_inference.sources.url import UrlFetcher
from ocr_inference.version import VERSION
from ocr_inference.workspace import Workspace

log = logging.getLogger("ocr_inference.server")

EXIT_CONFIGURATION = 2

KEEP_ALIVE_S = 75
"""Longer than the 60 s of most load balancers, so that they and not we close idle connections."""

LAST_REQUESTS_S = 0.3
"""For requests on their way when the listener closes."""

CLOSE_S = 5
"""For answers on their way when the drain is over."""

_ANSWERS_SHARE = 4
"""Answers that are not taken have a quarter of what uploads have of the disk."""


def run(settings: Settings, start: Start, hang_after: float | None) -> None:
    """Serve until told to end. Does not return: threads stuck in a dead volume or bucket must not
    hold the exit. `hang_after` is for tests of hanging, in seconds."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_serve(settings, start, hang_after))
        logging.shutdown()
        os._exit(code)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop

    return uvloop.new_event_loop


class _Server(Server):
    """uvicorn without its signal handlers, telling when it listens."""

    def __init__(self, config: Config, on_listening: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            log.critical("%s:%d cannot be listened on", self.config.host, self.config.port)
            raise
        self._on_listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A connection that was just accepted has its request on the way: closed now it would be
        # reset, and the client would not know whether its document was read.
        for server in self.servers:
            server.close()
        await asyncio.sleep(LAST_REQUESTS_S)
        await super().shutdown(sockets)


async def _serve(settings: Settings, start: Start, hang_after: float | None) -> int:
    try:
        workspace = Workspace(settings.temp_dir)
    except OSError as error:
        log.critical("the temporary directory cannot be used: %s", error)
        return EXIT_CONFIGURATION
    parts = make_reading_parts(settings, start, workspace)
    services = _services(settings, parts)
    app = create_app(services)
    later: list[asyncio.Future[object]] = []
    config = _config(services, app, settings.port)
    server = _Server(config, lambda: later.extend(_listening(parts, services, app)))
    loop = asyncio.get_running_loop()
    lifecycle.handle_signals(
        was_ready=lambda: services.engine.was_ready,
        drain=_drainer(services, server),
        abandon=workspace.close,
        loop=loop,
    )
    if hang_after is not None:
        scripted_http.hang_after(hang_after)
    tasks = [
        *parts.run(),
        asyncio.create_task(services.jobs.run(), name="keeper of jobs"),
        asyncio.create_task(lifecycle.reap_orphans(running_pids), name="reaper"),
    ]
    if settings.metrics_port:
        config = _config(services, create_metrics_app(services), settings.metrics_port)
        tasks.append(asyncio.create_task(_Server(config).serve(), name="server of metrics"))
    for task in tasks:
        task.add_done_callback(lambda done: _broken(done, server))
    await server.serve()
    broken = any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await parts.end()
    return 1 if broken else 0


def _services(settings: Settings, parts: ReadingParts) -> Services:
    metrics, admission, engine = parts.metrics, parts.admission, parts.engines
    metrics.watch(
        lambda: admission.pages + jobs.waiting_pages, lambda: admission.pixels, lambda: engine.ready
    )
    bucket = Bucket(settings)
    sink = S3Sink(bucket, metrics)
    # The folder is for a server without S3 alone.
    output = FolderSink(None if sink.configured else settings.output_dir, metrics)
    ocr = OcrService(sink, output, parts.outputs.images, metrics)
    uploads = _upload_space(settings, admission)
    stages = Lifecycle(settings.lame_duck_s, settings.drain_timeout_s)
    jobs = make_jobs(
        settings=settings,
        bucket=bucket,
        reader=parts.reader,
        ocr=ocr,
        workspace=parts.workspace,
        uploads=uploads,
        lifecycle=stages,
        metrics=metrics,
        model=lambda: parts.record.model_name,
        retry_after=admission.retry_after,
        can_take=lambda: services.not_ready_reason() is None,
    )
    services = Services(
        settings=settings,
        record=parts.record,
        engine=engine,
        vlm=None if parts.vlm is None else parts.vlm.health,
        lifecycle=stages,
        admission=admission,
        keys=KeyRing(settings.keys_dir, wanted=settings.auth_mode == "Token"),
        rates=parts.rates,
        sink=sink,
        output=output,
        metrics=metrics,
        workspace=parts.workspace,
        uploads=uploads,
        urls=UrlFetcher(settings, metrics, VERSION),
        folders=Folders({"temp_dir": settings.temp_dir, "output_dir": output.folder}),
        reader=parts.reader,
        ocr=ocr,
        outputs=parts.outputs,
        decoder=parts.decoder,
        jobs=jobs,
        untaken=Untaken(uploads.max_bytes // _ANSWERS_SHARE),
    )
    return services


def _upload_space(settings: Settings, admission: Admission) -> UploadSpace:
    free = shutil.disk_usage(settings.temp_dir).free
    largest = settings.max_upload_bytes + MAX_REST_BYTES
    budget = upload_budget(settings.queue_max_bytes, largest, free)
    return UploadSpace(budget, admission.retry_after)


def _config(services: Services, app: FastAPI, port: int) -> Config:
    settings = services.settings
    limits = BodyLimits(settings.max_upload_bytes, settings.upload_timeout_s)
    return Config(
        Envelope(app, limits, services.lifecycle, services.metrics),
        host=settings.host,
        port=port,
        http=limited_protocol(
            settings.header_timeout_s, connection_limit(), services.metrics.connections_refused
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
    )


def _listening(
    parts: ReadingParts, services: Services, app: FastAPI
) -> list[asyncio.Future[object]]:
    """The process answers from now on; what was not needed for that is begun."""
    services.record.answering(time.monotonic())
    _tell(services)
    # What was imported stays: the collector need not look at it again.
    gc.freeze()
    gc.enable()
    services.folders.watch()
    GpuMetrics().watch(services.metrics.registry)
    services.sink.prepare()
    services.output.prepare()
    parts.begin()
    later: list[asyncio.Future[object]] = [asyncio.ensure_future(parts.decoder.start())]
    if app.openapi_url:
        # Takes a while, and on the loop the first visitor of /docs would hold up the probes.
        later.append(asyncio.ensure_future(asyncio.to_thread(app.openapi)))
    return later


def _tell(services: Services) -> None:
    """What a person who starts it wants to see."""
    settings = services.settings
    about = {"model": settings.model, "device": settings.device, "auth": settings.auth_mode}
    log.info("listening on http://%s:%d", settings.host, settings.port, extra=about)
    for warning in services.warnings():
        log.warning(warning.message, extra={"code": warning.code})


def _drainer(services: Services, server: Server) -> Callable[[bool], None]:
    draining: list[asyncio.Task[None]] = []

    async def drain(patient: bool) -> None:
        # At once: another replica has the jobs while this one is still a lame duck.
        leaving = asyncio.create_task(services.jobs.leave())
        await services.lifecycle.drain(patient)
        await leaving
        await services.jobs.end()
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
