"""The engine child: loads the model through timed phases, then reads one page per call.

Where a VLM server reads the blocks there are two calls for a page instead: see `engine.plan`.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, cast

import numpy as np

from ocr_inference.engine.base import (
    Engine,
    EngineConfig,
    EngineError,
    Phase,
    ReadOptions,
    UnsupportedOption,
    VlmEngine,
)
from ocr_inference.engine.child import Emit, Handler, Handlers, RoleFailed, trim
from ocr_inference.engine.plan import BlockAnswer, PagePlan
from ocr_inference.engine.registry import make_engine, resolve_version
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError, writing
from ocr_inference.pipeline.page import Image, PageText

log = logging.getLogger("ocr_inference.engine")


def start(config: Message, emit: Emit) -> Handlers:
    engine = _load(_config(config), emit)

    def read(call: Message) -> PageText:
        return engine.read(_image(call), _options(call), call["timeout"])

    if config["backend"] == "native":
        return {"read": _explained(read), "trim": _trim}
    vlm_engine = cast("VlmEngine", engine)

    def plan(call: Message) -> PagePlan:
        with writing(), Path(call["crops"]).open("r+b") as crops:
            return vlm_engine.plan(_image(call), _options(call), crops)

    def finish(call: Message) -> PageText:
        answers = [BlockAnswer(**answer) for answer in call["answers"]]
        return vlm_engine.finish(_image(call), _options(call), call["state"], answers)

    return {"plan": _explained(plan), "finish": _explained(finish), "trim": _trim}


def _trim(_: Message) -> None:
    trim()


def _config(message: Message) -> EngineConfig:
    return EngineConfig(
        **{
            **message,
            "languages": tuple(message["languages"]),
            "cache_dir": Path(message["cache_dir"]),
        }
    )


def _load(config: EngineConfig, emit: Emit) -> Engine:
    where = ""
    try:
        version = resolve_version(config.model, config.version)
        engine = make_engine(config)
        phases = engine.phases()
        emit({"event": "phases", "names": [phase.name for phase in phases], "version": version})
        for phase in phases:
            where = f"{phase.name}: "
            _run(phase, emit)
        facts = engine.facts()
        trim()  # of what only loading needed: how large a loaded engine is, is asked now
    except Exception as error:
        if not isinstance(error, EngineError):
            log.exception("load failed")
        emit({"event": "failed", "message": where + _sentence(error), "at": time.monotonic()})
        raise RoleFailed from error
    emit(
        {
            "event": "ready",
            "versions": facts.versions,
            "device": facts.device,
            "at": time.monotonic(),
        }
    )
    return engine


def _run(phase: Phase, emit: Emit) -> None:
    # CLOCK_MONOTONIC is one clock for all processes, so the child's own times are used:
    # the parent may be busy with its imports when the first phases end.
    emit({"event": "phase", "name": phase.name, "state": "running", "at": time.monotonic()})
    try:
        phase.run()
    except BaseException:
        emit({"event": "phase", "name": phase.name, "state": "failed", "at": time.monotonic()})
        raise
    emit({"event": "phase", "name": phase.name, "state": "done", "at": time.monotonic()})


def _sentence(error: Exception) -> str:
    if isinstance(error, EngineError):
        return str(error)
    # What a library raises is often the only hint there is (a missing file, a CUDA error).
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _image(call: Message) -> Image:
    # Copy on write: an engine may draw on its image, the file stays as it is and nothing is copied.
    shape = (call["height"], call["width"], 3)
    return np.asarray(np.memmap(call["image"], dtype=np.uint8, mode="c", shape=shape))


def _options(call: Message) -> ReadOptions:
    return ReadOptions(
        dpi=call["dpi"],
        languages=tuple(call["languages"]),
        task=call["task"],
        readers=call.get("readers", 1),
        # The parent takes the image away when nobody wants the page any more.
        wanted=Path(call["image"]).exists,
    )


def _explained(handler: Handler) -> Handler:
    """With the engine's own errors as those that a client may see."""

    def explained(call: Message) -> Any:
        try:
            return handler(call)
        except UnsupportedOption as error:
            raise PublicError(422, "unsupported_option", str(error)) from error
        except EngineError as error:
            raise PublicError(502, "engine_error", str(error)) from error
        except TimeoutError as error:
            raise PublicError(
                504, "deadline_exceeded", "The page was not read before its deadline."
            ) from error

    return explained
