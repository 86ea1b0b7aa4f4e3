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

from ocr_inference.pipeline.page import PageStatus

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)


class Metrics:
    def __init__(self, version: str, engine: str) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        self.engine = engine
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(name, meaning, labels, registry=registry)

        def seconds(name: str, meaning: str, *labels: str) -> Histogram:
            return Histogram(name, meaning, labels, buckets=_SECONDS, registry=registry)

        build = Info("ocr_build", "Version of the server.", registry=registry)
        build.info({"version": version, "engine": engine})
        self.requests = counter("ocr_requests", "Requests answered.", "route", "code")
        self.request_seconds = seconds(
            "ocr_request_duration_seconds", "From the first header to the last byte.", "route"
        )
        self.rejected = counter("ocr_rejected", "Requests refused, by error code.", "reason")
        self.connections_refused = counter(
            "ocr_connections_refused", "Connections ended for what is no request.", "status"
        )
        self.cancelled = counter("ocr_cancelled", "Requests whose work was stopped.", "cause")
        self._pages = counter("ocr_pages", "Pages answered.", "engine", "status")
        self.client_requests = counter(
            "ocr_client_requests", "Requests answered, by the name of their key.", "client", "code"
        )
        self._client_pages = counter(
            "ocr_client_pages", "Pages that were read, by the name of the key.", "client"
        )
        self.page_seconds = seconds(
            "ocr_page_duration_seconds", "Of one page: render, read.", "engine", "stage"
        )
        self.queue_wait = seconds("ocr_queue_wait_seconds", "From queueing a page to decoding it.")
        self.inflight_pages = gauge("ocr_inflight_pages", "Pages that the engine is reading.")
        self.url_blocked = counter(
            "ocr_url_blocked", "URLs that were not fetched, or not further.", "reason"
        )
        self.worker_restarts = counter(
            "ocr_worker_restarts", "Children replaced, by role and reason.", "worker", "reason"
        )
        self.s3_operations = counter("ocr_s3_operations", "On the bucket.", "op", "result")
        self.output_operations = counter(
            "ocr_output_operations", "On the output folder.", "op", "result"
        )
        self.cache_hits = counter(
            "ocr_cache_hits",
            "Pages not read anew: kept from before, or joined with one being read.",
            "kind",
        )
        self.repetition_aborts = counter(
            "ocr_repetition_aborts", "Answers of the VLM server that were stopped in a loop."
        )
        self.vlm_blocks = counter(
            "ocr_vlm_blocks", "Blocks asked of the VLM server: read, retried, failed.", "result"
        )
        self.vlm_tokens = counter("ocr_vlm_tokens", "As the VLM server counts them.", "direction")
        self.jobs = gauge("ocr_jobs", "Jobs of this replica.", "state")
        self.jobs_finished = counter("ocr_jobs_finished", "Jobs that ended here.", "status")
        self._queue_pages = gauge("ocr_queue_pages", "Pages waiting or running.")
        self._queue_pixels = gauge("ocr_queue_pixels", "Their pixels, as far as they are known.")
        self._engines_ready = gauge("ocr_engines_ready", "Engine children that can read.")
        self._engine_up = gauge("ocr_engine_up", "1 while the engine can read.", "engine")

    def watch(
        self,
        queue_pages: Callable[[], float],
        queue_pixels: Callable[[], float],
        engines_ready: Callable[[], int],
    ) -> None:
        self._queue_pages.set_function(queue_pages)
        self._queue_pixels.set_function(queue_pixels)
        self._engines_ready.set_function(engines_ready)
        self._engine_up.labels(self.engine).set_function(lambda: engines_ready() > 0)

    def page_read(self, client: str, status: PageStatus) -> None:
        """A page was answered for this client; one that failed is none of what it used."""
        self._pages.labels(self.engine, status.value).inc()
        if status is PageStatus.OK:
            self._client_pages.labels(client).inc()

    def watch_vlm(self, up: Callable[[], float]) -> None:
        """Only where there is a VLM server: without one it is not down."""
        gauge = Gauge("ocr_vllm_up", "1 while the VLM server answers.", registry=self.registry)
        gauge.set_function(up)

    def stage(self, stage: str, began: float) -> float:
        """Record a stage of a page that began then and ends now; returns its seconds."""
        seconds = time.monotonic() - began
        self.page_seconds.labels(self.engine, stage).observe(seconds)
        return seconds
