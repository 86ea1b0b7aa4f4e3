"""An engine for tests: it starts, answers, fails, hangs and crashes as a JSON script says.

The script is `EngineConfig.script` (`OCR_SCRIPT`). All fields are optional:

- `phases`: list of `{"name", "seconds", "fail", "fail_times", "hang", "spin", "freeze", "crash"}`,
  in order; default `[{"name": "load_model", "seconds": 0.1}]`.
  `fail` is the public sentence of an `EngineError`; `fail_times: n` limits fail, hang, spin, freeze
  and crash to the first `n` times that the phase is reached (counted across replaced children),
  otherwise it is for ever.
- `text`: what every page says; `texts`: one per page instead, counted as below, over and over.
  `{width}`, `{height}`, `{count}` (pages so far), `{mean}` (mean pixel value) and `{readers}` (how
  many engines read) are filled in, so that an answer can be told from another.
- `page_seconds`: time of one page, default 0.
- `pages`: what befalls the first, second, … page: `{}`, `{"fail": "sentence"}` or
  `{"hang"|"spin"|"freeze"|"crash": true}`, each with an optional `seconds`; pages after the list
  are read normally.
- `hang_on_page`, `crash_on_page`: number (from 1) of the one page that hangs or crashes the child.
- `leak_mib`: memory that every page leaves behind.
- `stops_by_itself`: the engine stops at the page's timeout, or when nobody wants the page any
  more, with `TimeoutError`; default false.
- `confidence`: of every line, default 0.99.
- `pictures`: further blocks of a page, each `[type, [x1, y1, x2, y2]]` with its box in shares of
  the page's width and height.
- `layout_seconds`: finding the blocks is a step of its own, which takes so long.
- `blocks`: how many blocks a page has with the backends `vllm` and `external`, default 3; each says
  what the VLM server answers. `block_size`: their width and height in pixels, default [200, 40].
  There a page is counted, takes its time and meets its mishaps when it is planned.

Seconds are a number or `{"distribution": "lognormal", "median": 2.0, "sigma": 0.3}`.
`hang` waits, `spin` burns a core, `freeze` holds the interpreter lock so that no thread runs.

Reached phases and read pages are counted in a file in the cache directory (or the temporary one),
so a replaced child goes on where the one before it ended; another script begins anew.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

from PIL import Image as Pillow
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocr_inference.engine.base import (
    EngineConfig,
    EngineError,
    EngineFacts,
    Phase,
    ReadOptions,
)
from ocr_inference.engine.plan import PROMPTS, BlockAnswer, PagePlan, VlmBlock, most_tokens
from ocr_inference.pipeline.page import Block, ConfidenceSource, Image, Line, PageText

_CRASH_STATUS = 139
"""What a shell reports for a segmentation fault."""


class Lognormal(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    distribution: Literal["lognormal"]
    median: float = Field(gt=0)
    sigma: float = Field(ge=0)


Seconds = float | Lognormal


class Mishap(BaseModel):
    """Something that befalls a phase or a page."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    seconds: Seconds = 0.0
    fail: str | None = None
    hang: bool = False
    spin: bool = False
    freeze: bool = False
    crash: bool = False


class ScriptedPhase(Mishap):
    name: str
    fail_times: int | None = None


class Script(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    phases: tuple[ScriptedPhase, ...] = (ScriptedPhase(name="load_model", seconds=0.1),)
    text: str = "The quick brown fox\njumps over the lazy dog."
    texts: tuple[str, ...] = ()
    page_seconds: Seconds = 0.0
    pages: tuple[Mishap, ...] = ()
    hang_on_page: int | None = None
    crash_on_page: int | None = None
    leak_mib: int = 0
    stops_by_itself: bool = False
    confidence: float = 0.99
    pictures: tuple[tuple[str, tuple[float, float, float, float]], ...] = ()
    layout_seconds: float | None = None
    blocks: int = 3
    block_size: tuple[int, int] = (200, 40)

    def mishap(self, count: int) -> Mishap:
        if count == self.hang_on_page:
            return Mishap(hang=True)
        if count == self.crash_on_page:
            return Mishap(crash=True)
        return self.pages[count - 1] if count <= len(self.pages) else Mishap()


class Counters:
    """Counts that outlive the process, because a crash must not make the script begin anew."""

    def __init__(self, cache_dir: Path, script: str) -> None:
        name = f"scripted-{hashlib.sha256(script.encode()).hexdigest()[:16]}.json"
        self._path = _writable(cache_dir) / name

    def next(self, key: str) -> int:
        # Engines of one pool count together. The lock is let go with the file, also by a crash.
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            counts: dict[str, int] = (
                json.loads(self._path.read_text()) if self._path.exists() else {}
            )
            counts[key] = counts.get(key, 0) + 1
            # Replaced as a whole: a process killed while writing must not leave half a file.
            part = self._path.with_suffix(f".{os.getpid()}")
            part.write_text(json.dumps(counts))
            part.replace(self._path)
            return counts[key]


class ScriptedEngine:
    def __init__(self, config: EngineConfig) -> None:
        try:
            self._script = Script.model_validate_json(config.script or "{}")
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the script"
            raise EngineError(f"OCR_SCRIPT is not valid: {where}: {first['msg']}.") from error
        self._counters = Counters(config.cache_dir, config.script)
        self._leaked: list[bytes] = []

    def phases(self) -> Sequence[Phase]:
        return [Phase(phase.name, partial(self._load, phase)) for phase in self._script.phases]

    def facts(self) -> EngineFacts:
        return EngineFacts(versions={"scripted": "1"}, device="cpu")

    def read(self, image: Image, options: ReadOptions, timeout: float | None) -> PageText:
        count = self._next_page(options, timeout)
        return self._page(image, count, options.readers, self._find_blocks())

    def plan(self, image: Image, options: ReadOptions, crops: BinaryIO) -> PagePlan:  # noqa: ARG002
        self._next_page(options, None)
        prompt = PROMPTS["ocr" if options.task == "parse" else options.task]
        picture = Pillow.new("RGB", self._script.block_size, "white")
        blocks = []
        for _ in range(self._script.blocks):
            offset = crops.tell()
            picture.save(crops, "JPEG")
            length = crops.tell() - offset
            most = most_tokens(picture.width, picture.height)
            blocks.append(VlmBlock(offset, length, prompt, most, 112896, 1003520))
        return PagePlan(tuple(blocks), {"layout_ms": self._find_blocks()})

    def finish(
        self,
        image: Image,
        options: ReadOptions,  # noqa: ARG002
        state: dict[str, Any],
        answers: Sequence[BlockAnswer],
    ) -> PageText:
        height, width = image.shape[:2]
        step = height / (len(answers) + 1)
        given = [answer.confidence for answer in answers if answer.confidence is not None]
        return PageText(
            blocks=tuple(
                Block(
                    "text",
                    _box(width, step, index),
                    answer.text,
                    1.0 if answer.confidence is None else answer.confidence,
                )
                for index, answer in enumerate(answers)
            ),
            confidence_source=ConfidenceSource.TOKEN_LOGPROB if given else ConfidenceSource.NONE,
            layout_ms=state["layout_ms"],
        )

    def _find_blocks(self) -> float | None:
        """How long it took, in milliseconds."""
        if self._script.layout_seconds is None:
            return None
        began = time.monotonic()
        time.sleep(self._script.layout_seconds)
        return (time.monotonic() - began) * 1000

    def _next_page(self, options: ReadOptions, timeout: float | None) -> int:
        count = self._counters.next("pages")
        self._leaked.append(b"\1" * (self._script.leak_mib << 20))
        seconds = _draw(self._script.page_seconds)
        if self._script.stops_by_itself:
            _sleep_while(options.wanted, seconds, timeout)
        else:
            time.sleep(seconds)
        _befall(self._script.mishap(count))
        return count

    def _load(self, phase: ScriptedPhase) -> None:
        reached = self._counters.next(f"phase {phase.name}")
        if phase.fail_times is not None and reached > phase.fail_times:
            time.sleep(_draw(phase.seconds))
        else:
            _befall(phase)

    def _page(self, image: Image, count: int, readers: int, layout_ms: float | None) -> PageText:
        texts = self._script.texts or (self._script.text,)
        height, width = image.shape[:2]
        text = texts[(count - 1) % len(texts)]
        for token, value in {
            "{width}": width,
            "{height}": height,
            "{count}": count,
            "{mean}": round(float(image.mean())),
            "{readers}": readers,
        }.items():
            text = text.replace(token, str(value))
        rows = text.splitlines() or [""]
        step = height / (len(rows) + 1)
        lines = tuple(
            Line(row, _box(width, step, index), self._script.confidence)
            for index, row in enumerate(rows)
        )
        whole = (lines[0].bbox[0], lines[0].bbox[1], lines[0].bbox[2], lines[-1].bbox[3])
        block = Block("text", whole, text, self._script.confidence, lines=lines)
        pictures = tuple(
            Block(kind, (x1 * width, y1 * height, x2 * width, y2 * height), "")
            for kind, (x1, y1, x2, y2) in self._script.pictures
        )
        return PageText((block, *pictures), ConfidenceSource.ENGINE, layout_ms=layout_ms)


def _box(width: int, step: float, index: int) -> tuple[float, float, float, float]:
    top = step * (index + 0.5)
    return (round(width * 0.1, 1), round(top, 1), round(width * 0.9, 1), round(top + step * 0.8, 1))


def _befall(mishap: Mishap) -> None:
    time.sleep(_draw(mishap.seconds))
    if mishap.fail is not None:
        raise EngineError(mishap.fail)
    if mishap.crash:
        os._exit(_CRASH_STATUS)
    while mishap.hang:
        time.sleep(3600)
    while mishap.spin:
        pass
    while mishap.freeze:
        # PyDLL, unlike CDLL, keeps the interpreter lock during the call.
        ctypes.PyDLL(None).sleep(3600)


def _sleep_while(wanted: Callable[[], bool], seconds: float, timeout: float | None) -> None:
    until = time.monotonic() + seconds
    latest = math.inf if timeout is None else time.monotonic() + timeout
    while (now := time.monotonic()) < until:
        if now >= latest or not wanted():
            raise TimeoutError
        time.sleep(min(0.05, until - now))


def _draw(seconds: Seconds) -> float:
    match seconds:
        case Lognormal(median=median, sigma=sigma):
            return median * random.lognormvariate(0.0, sigma)
        case _:
            return max(0.0, seconds)


def _writable(cache_dir: Path) -> Path:
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir())
    return cache_dir if os.access(cache_dir, os.W_OK) else Path(tempfile.gettempdir())
