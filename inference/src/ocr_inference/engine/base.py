"""The engine's side of the process boundary.

Everything here runs in the engine child's main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ocr_inference.engine.plan import BlockAnswer, PagePlan
from ocr_inference.pipeline.page import Image, PageText, Task


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What an engine needs to know; picklable, because it crosses to a spawned process."""

    model: str
    version: str
    backend: str
    device: str
    """`cpu` or `gpu:N`. Explicit always: an engine never falls back silently."""
    languages: tuple[str, ...]
    """ISO 639-1; empty means the engine's default."""
    cache_dir: Path
    cpu_threads: int
    """Threads for a page that is read alone, from the cgroup's CPU limit."""
    script: str = ""
    readers: int = 1
    """The most engines that may read at the same time, with this one."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One timed step of a load: `import`, `load_layout`, `load_model` or `warmup`."""

    name: str
    run: Callable[[], None]


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """Known after the load.

    `versions` maps library to version, `device` is the driver's name or `cpu`.
    """

    versions: dict[str, str]
    device: str
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Per page. `languages` narrows the engine's, `dpi` is the resolution of the image."""

    dpi: int = 200
    languages: tuple[str, ...] = ()
    task: Task = "parse"
    readers: int = 1
    """How many engines read at the same time, with this one: each has its share of the cores."""
    wanted: Callable[[], bool] = lambda: True
    """Whether somebody still waits for the page: an engine that works in steps asks between them
    and raises `TimeoutError` when not."""


class EngineError(Exception):
    """A load or a page failed for a reason that one sentence can say; the sentence is public."""


class UnsupportedOption(EngineError):
    """The engine cannot do what was asked (a language, a device).

    A client's or an operator's mistake.
    """


class Engine(Protocol):
    """One model in memory.

    Created cheaply; `phases` do the work; `read` is never called concurrently.
    """

    def phases(self) -> Sequence[Phase]:
        """Steps of the load in order.

        Each may raise; a failed load is begun anew in a new child.
        """
        ...

    def facts(self) -> EngineFacts:
        """Versions and device; called once, after the last phase."""
        ...

    def read(self, image: Image, options: ReadOptions, timeout: float | None) -> PageText:
        """Read one page.

        `timeout` is in seconds; an engine that can, stops by itself and raises `TimeoutError`,
        the others are ended from outside. Raises `EngineError` with a public sentence.
        """
        ...


class VlmEngine(Engine, Protocol):
    """An engine whose blocks a VLM server reads. One call at a time, and neither takes long."""

    def plan(self, image: Image, options: ReadOptions, crops: BinaryIO) -> PagePlan:
        """Find the blocks of a page and write their pictures to `crops`."""
        ...

    def finish(
        self,
        image: Image,
        options: ReadOptions,
        state: dict[str, Any],
        answers: Sequence[BlockAnswer],
    ) -> PageText:
        """The page, given the plan's `state` and an answer for each of its blocks."""
        ...
