"""`/healthz`, `/readyz` and `/metrics`. kopf's own liveness endpoint says 200 whatever goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from ocr_operator.core.observed import Key
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.watches import SILENT_SECONDS, WatchMonitor
from ocr_operator.runtime.workqueue import WorkQueue

STUCK_KEY_SECONDS = 300.0
"""An OcrService that waits so long for a worker means that all of them hang: after a restart with a
thousand services the last one waits about a minute."""
TICK_SECONDS = 1.0
STALLED_LOOP_SECONDS = 30.0
"""Between two turns of the event loop: something blocks it."""
CLOSE_SECONDS = 1.0
"""For the answers under way when the server is closed."""


class Health:
    """What is known about the process, and the server that says it."""

    def __init__(
        self,
        watches: WatchMonitor,
        queue: WorkQueue[Key],
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watches = watches
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._turned_at = clock()
        self._lag = 0.0
        self.stopping = False
        metrics.gauge("ocr_operator_queue_depth", "OcrServices that wait.", queue.depth)
        metrics.gauge("ocr_operator_queue_scheduled", "OcrServices due later.", queue.scheduled)
        metrics.gauge(
            "ocr_operator_queue_oldest_seconds", "The longest wait.", queue.oldest_seconds
        )
        metrics.gauge(
            "ocr_operator_loop_lag_seconds", "Delay of the event loop.", lambda: self._lag
        )
        metrics.gauge(
            "ocr_operator_watch_silent_seconds",
            "For how long the most silent watch has shown no sign of life.",
            lambda: max(watches.silent_seconds().values(), default=0.0),
        )

    async def tick(self) -> None:
        """Note that the event loop turns, for ever."""
        while True:
            self._turned_at = self._clock()
            await asyncio.sleep(TICK_SECONDS)
            self._lag = max(0.0, self._clock() - self._turned_at - TICK_SECONDS)

    def report(self) -> dict[str, Any]:
        """The numbers, and a sentence for each that is wrong."""
        silent = self._watches.silent_seconds()
        oldest = self._queue.oldest_seconds()
        turned = self._clock() - self._turned_at
        problems = [
            f"the watch of {kind} has been silent for {age:.0f} s"
            for kind, age in silent.items()
            if age > SILENT_SECONDS
        ]
        if oldest > STUCK_KEY_SECONDS:
            problems.append(f"an OcrService has waited for {oldest:.0f} s")
        if turned > STALLED_LOOP_SECONDS:
            problems.append(f"the event loop has not turned for {turned:.0f} s")
        return {
            "problems": problems,
            "watch_silent_seconds": {kind: round(age, 1) for kind, age in silent.items()},
            "queue_oldest_seconds": round(oldest, 1),
            "loop_turned_seconds": round(turned, 1),
        }

    def unready(self) -> list[str]:
        """Why the operator is not ready; empty when it is."""
        if self.stopping:
            return ["stopping"]
        if self._watches.filled.is_set():
            return []
        missing = self._watches.missing() or ["the CRDs"]
        if self._watches.all_listed():
            missing = ["the cache"]
        return [f"waiting for {what}" for what in missing]

    async def serve(self, port: int) -> None:
        """Answer on all addresses until cancelled."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics_page)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, None, port).start()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        report = self.report()
        return web.json_response(report, status=503 if report["problems"] else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        unready = self.unready()
        return web.json_response({"unready": unready}, status=503 if unready else 200)

    async def _metrics_page(self, _: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics.render(), headers=headers)
