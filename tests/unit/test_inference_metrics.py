"""`/metrics` and its page in the documentation say the same."""

from __future__ import annotations

import re
from pathlib import Path

from ocr_inference.gpu import GpuMetrics
from ocr_inference.metrics import Metrics

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
BOUNDED = {
    *("route", "code", "reason", "cause", "client", "engine", "status", "stage", "worker", "kind"),
    *("state", "result", "direction", "op", "gpu", "name", "version"),
}
"""Labels whose values are ours, the operator's or the machine's, never a client's."""


def documented() -> dict[str, tuple[str, ...]]:
    found = {}
    for row in DOCS.read_text().splitlines():
        if row.startswith("| `ocr_"):
            names, labels = row.split("|")[1:3]
            for name in re.findall(r"`(\w+)`", names):
                found[name] = tuple(re.findall(r"`(\w+)`", labels))
    return found


def real() -> dict[str, tuple[str, ...]]:
    metrics = Metrics("1", "scripted")
    metrics.watch_vlm(lambda: 1.0)
    found = {}
    for collector in list(metrics.registry._collector_to_names):
        name = getattr(collector, "_name", "")
        if name:
            suffix = {"counter": "_total", "info": "_info"}.get(collector._type, "")  # type: ignore[attr-defined]
            found[name + suffix] = tuple(collector._labelnames)  # type: ignore[attr-defined]
    found["ocr_build_info"] = ("version", "engine")
    for family in GpuMetrics().collect():
        found[family.name] = tuple(family._labelnames)
    return found


def test_every_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    assert documented() == real()


def test_labels_are_of_the_kinds_that_no_client_can_fill() -> None:
    assert {label for labels in real().values() for label in labels} <= BOUNDED
