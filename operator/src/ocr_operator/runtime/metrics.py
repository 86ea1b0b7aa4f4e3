"""What Prometheus may know, in a registry of its own: nothing is registered at import."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ocr_operator.startup.sample import Start, StartKey

STARTUP_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 1800, 3600)
"""Seconds: from an OCR engine on CPU to a model loaded over a slow disk, up to
`maxBudgetSeconds`."""
RECONCILE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120)
"""Seconds: from a reconcile that changes nothing to one that waits for an API server in trouble."""
WHOLE_START = "init"
"""The phase label of the whole start."""


class Metrics:
    """One per process, made by `app`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.reconcile_seconds = Histogram(
            "ocrservice_reconcile_duration_seconds",
            "Time one reconcile of an OcrService takes.",
            buckets=RECONCILE_BUCKETS,
            registry=registry,
        )
        self.reconciles = Counter(
            "ocrservice_reconcile_total",
            "Reconciles by result: unchanged, changed, gone, retry, refused or bug.",
            ["result"],
            registry=registry,
        )
        self.api_writes = Counter(
            "ocr_operator_api_writes_total",
            "Writes the API server accepted.",
            ["verb", "kind"],
            registry=registry,
        )
        self.api_failures = Counter(
            "ocr_operator_api_failures_total",
            "Answers of the API server that were not a success, by status; 0 is no answer.",
            ["status"],
            registry=registry,
        )
        self.startup_seconds = Histogram(
            "ocrservice_startup_duration_seconds",
            "Measured starts by phase; the phase init is the whole start.",
            ["model", "phase"],
            buckets=STARTUP_BUCKETS,
            registry=registry,
        )
        self.scrapes = Counter(
            "ocr_operator_scrapes_total",
            "Readings of startup documents by result: read or failed.",
            ["result"],
            registry=registry,
        )
        self.events_dropped = Counter(
            "ocr_operator_events_dropped_total",
            "Events that were not sent: the API server refused them or there were too many.",
            registry=registry,
        )

    def gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        Gauge(name, documentation, registry=self.registry).set_function(value)

    def observe_start(self, key: StartKey, start: Start) -> None:
        """Count one measured start."""
        self.startup_seconds.labels(key.model, WHOLE_START).observe(start.seconds)
        for phase, seconds in start.phases.items():
            self.startup_seconds.labels(key.model, phase).observe(seconds)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self.registry)
