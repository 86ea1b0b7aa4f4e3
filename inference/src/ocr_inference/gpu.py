"""Memory and utilisation of the GPUs in `/metrics`, where NVIDIA's management library is there.

The driver may take its time to answer, so it is asked by a thread of its own and never by a scrape.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger("ocr_inference.gpu")

SAMPLE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class GpuSample:
    """`index` and `name` as the driver gives them; `utilization` is 0..1 of the last second, None
    where the driver does not know: of a GPU that is divided (MIG)."""

    index: int
    name: str
    memory_used: int
    memory_total: int
    utilization: float | None


class GpuMetrics(Collector):
    def __init__(self) -> None:
        self._samples: tuple[GpuSample, ...] = ()

    def watch(self, registry: CollectorRegistry) -> None:
        """Show what there is to see, from now on. Without the library there is nothing."""
        threading.Thread(target=self._run, args=(registry,), name="gpu", daemon=True).start()

    def collect(self) -> Iterable[Metric]:
        used, total, busy = (
            GaugeMetricFamily(f"ocr_gpu_{name}", meaning, labels=("gpu", "name"))
            for name, meaning in (
                ("memory_used_bytes", "Of all processes on this GPU."),
                ("memory_total_bytes", "Of this GPU."),
                ("utilization_ratio", "Share of the last second in which this GPU worked."),
            )
        )
        for sample in self._samples:
            labels = (str(sample.index), sample.name)
            used.add_metric(labels, sample.memory_used)
            total.add_metric(labels, sample.memory_total)
            if sample.utilization is not None:
                busy.add_metric(labels, sample.utilization)
        return used, total, busy

    def _run(self, registry: CollectorRegistry) -> None:
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            log.debug("no GPU to watch: %s", error)
            return
        registry.register(self)
        pause = threading.Event()
        said = ""
        while True:
            try:
                self._samples = tuple(_samples())
                wrong = ""
            except pynvml.NVMLError as error:
                # A GPU that fell off the bus must not look as it last did.
                self._samples = ()
                wrong = str(error)
            if wrong and wrong != said:
                log.warning("the GPU cannot be asked: %s", wrong)
            said = wrong
            pause.wait(SAMPLE_EVERY_S)


def _samples() -> Iterator[GpuSample]:
    import pynvml

    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        yield GpuSample(
            index=index,
            name=pynvml.nvmlDeviceGetName(handle),
            memory_used=int(memory.used),
            memory_total=int(memory.total),
            utilization=_utilization(handle),
        )


def _utilization(handle: Any) -> float | None:
    import pynvml

    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
    except pynvml.NVMLError_NotSupported:
        return None
