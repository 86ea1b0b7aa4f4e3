"""The engine children of this process, put together."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ocr_inference.engine.cgroup import memory_limit
from ocr_inference.engine.host import Child, engine_pids, running_pids
from ocr_inference.engine.memory import MemoryBound
from ocr_inference.engine.pool import EnginePool
from ocr_inference.engine.sizes import pool_size
from ocr_inference.engine.supervisor import EngineSupervisor
from ocr_inference.metrics import Metrics
from ocr_inference.settings import Settings
from ocr_inference.startup import StartRecord


def make_engines(
    settings: Settings,
    spawn: Callable[[], Child],
    first: Child,
    spawned: float,
    metrics: Metrics,
    record: StartRecord,
    most: Callable[[], int] = lambda: sys.maxsize,
) -> EnginePool:
    """`first` was spawned at `spawned` and is what `record` tells of; the others are spawned once
    it is ready, `most` in all, as far as there is room for them."""

    def engine(child: Child, spawned: float, record: StartRecord) -> EngineSupervisor:
        return EngineSupervisor(
            spawn,
            child,
            spawned,
            record,
            settings.heartbeat_deadline_s,
            lambda why: metrics.worker_restarts.labels("engine", why).inc(),
            MemoryBound(memory_limit(), running_pids, engine_pids),
        )

    def another() -> EngineSupervisor:
        # The start that is told is that of the first one; nobody reads this record.
        now = time.monotonic()
        unread = StartRecord(record.model, record.version, record.backend, record.cpu_limit, now)
        return engine(spawn(), now, unread)

    def size(resident: int) -> int:
        room = pool_size(settings.engine_workers, settings.model, record.cpu_limit, resident)
        return max(1, min(most(), room))

    return EnginePool(engine(first, spawned, record), another, size)
