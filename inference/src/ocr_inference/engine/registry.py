"""Which engine serves which model name.

Engines are imported only when asked for: each needs its own libraries.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from ocr_inference.engine.base import Engine, EngineConfig, EngineError
from ocr_inference.pipeline.page import TASKS, Task


@dataclass(frozen=True, slots=True)
class Model:
    """What is known of a model without importing its engine."""

    module: str
    factory: str
    versions: tuple[str, ...]
    """Newest first; an empty version in the configuration means the first."""
    distribution: str
    """The library that must be installed, as in the extras of this package."""
    extra: str
    backends: tuple[str, ...] = ("native",)
    tasks: tuple[Task, ...] = ("parse", "ocr")
    side_by_side: bool = False
    """Whether several children of it read more pages in the same time: on a CPU, which one page
    cannot fill."""
    page_mib: int = 0
    """Memory that a page takes beyond the loaded engine: A4 at 200 dpi, measured. For those alone
    that work side by side."""


MODELS: dict[str, Model] = {
    "paddleocr-vl": Model(
        "ocr_inference.engine.paddleocr_vl",
        "make",
        versions=("1.6", "1.5", "1.0"),
        distribution="paddleocr",
        extra="paddle",
        backends=("native", "vllm", "external"),
        tasks=TASKS,
    ),
    "pp-ocr": Model(
        "ocr_inference.engine.pp_ocr",
        "PpOcrEngine",
        versions=("6",),
        distribution="rapidocr",
        extra="pp-ocr",
        side_by_side=True,
        page_mib=750,
    ),
    "tesseract": Model(
        "ocr_inference.engine.tesseract",
        "TesseractEngine",
        versions=("5",),
        distribution="tesserocr",
        extra="tesseract",
        side_by_side=True,
        page_mib=80,
    ),
    "scripted": Model(
        "ocr_inference.engine.scripted",
        "ScriptedEngine",
        versions=("1",),
        distribution="",
        extra="",
        backends=("native", "vllm", "external"),
        tasks=TASKS,
    ),
}


def tasks_of(model: str) -> tuple[Task, ...]:
    """What pages can be read as by this model; nothing for one that is not known."""
    known = MODELS.get(model)
    return () if known is None else known.tasks


def resolve_version(model: str, version: str) -> str:
    """The version that will be served; raises `EngineError` for an unknown model or version."""
    known = MODELS.get(model)
    if known is None:
        raise EngineError(f"Unknown model {model!r}; known are {', '.join(sorted(MODELS))}.")
    if not version:
        return known.versions[0]
    if version not in known.versions:
        raise EngineError(
            f"Model {model} has no version {version!r}; known are {', '.join(known.versions)}."
        )
    return version


def make_engine(config: EngineConfig) -> Engine:
    """The engine for `config`, not loaded yet. Raises `EngineError` with a public sentence."""
    resolve_version(config.model, config.version)
    model = MODELS[config.model]
    if config.backend not in model.backends:
        raise EngineError(
            f"Model {config.model} has no backend {config.backend!r}; "
            f"known are {', '.join(model.backends)}."
        )
    module = importlib.import_module(model.module)
    factory = cast("Callable[[EngineConfig], Engine]", getattr(module, model.factory))
    return factory(config)
