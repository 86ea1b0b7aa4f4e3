"""What `/metrics` shows. No document names and no keys in labels."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)


class Metrics:
    def __init__(self, version: str, engine: str) -> None:
        registry = CollectorRegistry(auto_describe=True)
        self.registry = registry
        self.engine = engine
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        Info("ocr_build", "Version of the server.", registry=registry).info(
            {"version": version, "engine": engine}
        )
        self.requests = Counter(
            "ocr_requests", "Requests answered.", ["route", "code"], registry=registry
        )
        self.request_seconds = Histogram(
            "ocr_request_duration_seconds",
            "From the first header to the last byte.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.pages = Counter(
            "ocr_pages", "Pages answered.", ["engine", "status"], registry=registry
        )
        self.page_seconds = Histogram(
            "ocr_page_duration_seconds",
            "Time of one page in a stage: render, read.",
            ["engine", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue_wait = Histogram(
            "ocr_queue_wait_seconds",
            "From a page's queueing to its decoding.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.inflight_pages = Gauge(
            "ocr_inflight_pages", "Pages that the engine is reading.", registry=registry
        )
        self.rejected = Counter(
            "ocr_rejected", "Requests refused, by error code.", ["reason"], registry=registry
        )
        self.cancelled = Counter(
            "ocr_cancelled", "Requests whose work was stopped.", ["cause"], registry=registry
        )
        self.worker_restarts = Counter(
            "ocr_worker_restarts",
            "Children replaced, by role and reason.",
            ["worker", "reason"],
            registry=registry,
        )
        self.s3_operations = Counter(
            "ocr_s3_operations", "Operations on the bucket.", ["op", "result"], registry=registry
        )
        self._queue_pages = Gauge("ocr_queue_pages", "Pages waiting or running.", registry=registry)
        self._engine_up = Gauge(
            "ocr_engine_up", "1 while the engine can read.", ["engine"], registry=registry
        )

    def watch(self, queue_pages: Callable[[], float], engine_up: Callable[[], float]) -> None:
        self._queue_pages.set_function(queue_pages)
        self._engine_up.labels(self.engine).set_function(engine_up)

    def stage(self, stage: str, began: float) -> float:
        """Record a stage of a page that began then and ends now; returns its seconds."""
        seconds = time.monotonic() - began
        self.page_seconds.labels(self.engine, stage).observe(seconds)
        return seconds
