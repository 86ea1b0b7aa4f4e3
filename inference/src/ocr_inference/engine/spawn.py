"""How this server's children are started."""

from __future__ import annotations

from collections.abc import Callable

from ocr_inference.engine.cpu import cpu_threads
from ocr_inference.engine.host import Child
from ocr_inference.engine.sizes import pool_size
from ocr_inference.settings import Settings


def engine_spawner(settings: Settings, script: str, cpu_limit: float | None) -> Callable[[], Child]:
    threads = cpu_threads(cpu_limit)
    config = {
        "model": settings.model,
        "version": settings.model_version,
        "backend": settings.backend,
        "device": settings.device,
        "languages": list(settings.languages),
        "cache_dir": str(settings.cache_dir),
        "cpu_threads": threads,
        "script": script,
        # By all but the memory, which is known once the first is loaded.
        "readers": pool_size(settings.engine_workers, settings.model, cpu_limit, resident=0),
    }
    return lambda: Child("engine", config, threads)


def decode_spawner(settings: Settings) -> Callable[[], Child]:
    config = {
        "max_pages": settings.max_pages_sync,
        "max_pixels": settings.max_pixels,
        "max_side": settings.max_side,
    }
    return lambda: Child("decode", config)
