"""Keeps one engine child: loads it, replaces it when it ends or hangs, says how it is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ocr_inference.engine.host import Child, ChildLost
from ocr_inference.engine.memory import MemoryBound, resident_bytes
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import Task
from ocr_inference.startup import StartRecord

log = logging.getLogger("ocr_inference.engine")

SHORTEST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
SHORTEST_LOAD_LIMIT_S = 600.0
LOAD_LIMIT_FACTOR = 4.0
"""A replacement that takes longer than the slowest load so often, hangs: a dead volume or GPU."""

LONGEST_TRIM_S = 2.0
"""It takes milliseconds, and a page waits for its end."""

PROVEN_S = 60.0
"""A child that was ready this long, or read a page, was worth loading."""


class EngineState(StrEnum):
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    """The last load failed; it is tried again after a while."""


@dataclass(frozen=True, slots=True)
class RawPage:
    """A decoded page in a file: height by width by 3 bytes, BGR."""

    path: Path
    height: int
    width: int
    dpi: int
    rotation: int = 0
    """As of `pipeline.page.Page`."""


class EngineUnavailable(PublicError):
    """The engine was lost before this call reached it: another one can take the page."""


class EngineSupervisor:
    """`run` is the life of the engine; `read` uses it; the rest are questions."""

    def __init__(
        self,
        spawn: Callable[[], Child],
        first: Child,
        first_spawned: float,
        record: StartRecord,
        heartbeat_deadline: float,
        on_replaced: Callable[[str], None],
        memory: MemoryBound,
    ) -> None:
        self._spawn = spawn
        self._child = first
        self._record = record
        self._heartbeat_deadline = heartbeat_deadline
        self._on_replaced = on_replaced
        self._memory = memory
        self.state = EngineState.LOADING
        self.error: str | None = None
        self.was_ready = False
        self._ready = asyncio.Event()
        self._wanted = asyncio.Event()
        self._load_began = first_spawned
        self._load_seconds = 0.0
        self._lost_in_call: float | None = None
        self._replacement_failed = False
        self.waiting = 0
        """How many pages wait for an engine: a failed load is then tried again soon."""
        self._answered = False
        self._ended_by_us = False
        self._why = "crashed"

    async def run(self) -> None:
        fruitless = 0
        try:
            while True:
                loaded = await self._load()
                since = _now()
                if loaded:
                    await self._child.lost.wait()
                    self._note_lost()
                useful = self._answered or self._ended_by_us or _now() - since >= PROVEN_S
                proven = loaded and useful
                fruitless = 0 if proven else fruitless + 1
                # The first loss of a working child is replaced at once: its pages are waiting.
                if not loaded or fruitless > 1:
                    await self._back_off(fruitless)
                await self._next_child()
        finally:
            await self._child.end()

    async def until_ready(self) -> None:
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    @property
    def load_seconds(self) -> float:
        """The slowest load so far; 0 before the first."""
        return self._load_seconds

    @property
    def resident_bytes(self) -> int:
        return resident_bytes(self._child.pid)

    def want(self) -> None:
        """There is work: a load that is waiting to be tried again is tried now."""
        self._wanted.set()

    async def read(
        self,
        page: RawPage,
        languages: tuple[str, ...],
        within: float,
        task: Task = "parse",
        readers: int = 1,
    ) -> Message:
        """Read one page `within` seconds; `readers` as in `ReadOptions`. Errors are those of
        `call`."""
        return await self.call(
            "read", page, within, languages=languages, task=task, readers=readers
        )

    async def call(self, op: str, page: RawPage, within: float, **arguments: Any) -> Message:
        """One call about a page `within` seconds; silence for H more ends the child.

        A child that is too large afterwards is replaced; pages that come wait for the next one.
        Raises `PublicError`: what the engine says, 502 engine_error, 503 engine_unavailable, 504
        deadline_exceeded.
        """
        child = self._child
        if not self._ready.is_set():
            raise EngineUnavailable(503, "engine_unavailable", "The engine is being replaced.")
        try:
            async with asyncio.timeout(within + self._heartbeat_deadline):
                result = await child.call(
                    op,
                    image=str(page.path),
                    height=page.height,
                    width=page.width,
                    dpi=page.dpi,
                    timeout=within,
                    **arguments,
                )
        except TimeoutError:
            self._lost_in_call = _now()
            self._why = "hung"
            log.error("the engine is silent beyond its deadline and is replaced")
            child.kill()
            await child.lost.wait()
            raise PublicError(
                504, "deadline_exceeded", "The engine hung on this page and was replaced."
            ) from None
        except ChildLost:
            self._lost_in_call = _now()
            raise PublicError(
                502, "engine_error", "The engine ended while it was reading this page."
            ) from None
        except PublicError:  # what the engine says of this page
            await self._spare_memory(child)
            raise
        else:
            self._answered = True
            await self._spare_memory(child)
            return result
        finally:
            self._recycle(child)

    async def _spare_memory(self, child: Child) -> None:
        """What a child has kept for its next page is no leak, and is not to cost the child. What
        comes of this is not to cost the page."""
        if not self._memory.short():
            return
        try:
            async with asyncio.timeout(LONGEST_TRIM_S):
                await child.call("trim")
        except TimeoutError:
            log.error("the engine is silent and is replaced")
            self._lost_in_call = _now()
            self._replace("hung")
            await child.lost.wait()
        except ChildLost:
            pass
        except PublicError as error:
            log.warning("the engine keeps its memory: %s", error)

    def end_call(self, why: str) -> None:
        """End the call in work, which nobody wants any more, with the child that is in it."""
        self._ended_by_us = True
        self._replace(why)

    def _recycle(self, child: Child) -> None:
        if not child.lost.is_set() and self._memory.exceeded(_now()):
            self._replace("memory")

    def _replace(self, why: str) -> None:
        self._why = why
        self._ready.clear()
        self._child.kill()

    def alive(self, now: float) -> bool:
        """False when a replacement did not help after the engine was lost in a call.

        Loading, backing off and failing are alive: restarting the container would only do the
        same again, and drop what waits. A replacement may take as long as earlier loads did.
        """
        if self._lost_in_call is None:
            return True
        if self._replacement_failed:
            return False
        if self._child.lost.is_set():  # backing off: nothing loads that could be late
            return True
        patience = self._heartbeat_deadline + 2 * self._load_seconds
        return now - max(self._lost_in_call, self._load_began) <= patience

    def seconds_to_ready(self, now: float) -> float:
        """An honest guess for Retry-After.

        What earlier loads took; before there was one, as long again as this one has taken so far.
        """
        elapsed = now - self._load_began
        return max(1.0, self._load_seconds - elapsed if self._load_seconds else elapsed)

    async def _load(self) -> bool:
        """True when the child is ready, False when the load failed."""
        self._answered = self._ended_by_us = False
        # A page that is next must wait for the replacement and not meet the dead.
        await self._child.attach(self._on_event, self._ready.clear)
        ready = asyncio.create_task(self._ready.wait())
        lost = asyncio.create_task(self._child.lost.wait())
        try:
            await asyncio.wait(
                {ready, lost}, timeout=self._load_limit, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ready.cancel()
            lost.cancel()
        if self._ready.is_set():
            return True
        if self.state is not EngineState.FAILED:
            ended = self._child.lost.is_set()
            what = "ended while it was loading" if ended else "did not load in time"
            self._fail(f"The engine process {what}.", _now())
        await self._child.end()
        return False

    @property
    def _load_limit(self) -> float | None:
        """None until a load succeeded: it may download long, and the startup probe limits it."""
        if not self.was_ready:
            return None
        return max(SHORTEST_LOAD_LIMIT_S, LOAD_LIMIT_FACTOR * self._load_seconds)

    async def _next_child(self) -> None:
        while True:
            try:
                self._child = self._spawn()
                break
            except OSError as error:  # no memory or no process IDs left: both pass
                self._fail(f"The engine process cannot be started: {error.strerror}.", _now())
                await asyncio.sleep(SHORTEST_BACKOFF_S)
        self._load_began = _now()
        self._record.spawned(self._load_began)
        self.state = EngineState.LOADING

    def _on_event(self, event: Message) -> None:
        match event["event"]:
            case "phases":
                self._record.planned(event["names"], event["version"])
            case "phase":
                self._record.phase(event["name"], event["state"], event["at"])
                told = {"pid": self._child.pid, "phase": event["name"], "state": event["state"]}
                log.info("phase", extra=told)
            case "failed":
                self._fail(event["message"], event["at"])
            case "ready":
                self._succeed(event)

    def _succeed(self, event: Message) -> None:
        self._record.ready(event["versions"], event["device"])
        took = event["at"] - self._load_began
        self._load_seconds = max(self._load_seconds, took)
        self._memory.loaded(self._child.pid, took, event["at"])
        self.state, self.error = EngineState.READY, None
        self.was_ready = True
        self._lost_in_call, self._replacement_failed = None, False
        self._ready.set()
        log.info("engine ready", extra={"pid": self._child.pid, "seconds": round(took, 3)})

    def _fail(self, sentence: str, at: float) -> None:
        self._record.failed(sentence, at)
        self.state, self.error = EngineState.FAILED, sentence
        self._replacement_failed = self._lost_in_call is not None
        log.error("load failed: %s", sentence)

    def _note_lost(self) -> None:
        self.state = EngineState.LOADING
        self._on_replaced(self._why)
        log.warning("the engine child is replaced", extra={"reason": self._why})
        self._why = "crashed"

    async def _back_off(self, fruitless: int) -> None:
        seconds = min(LONGEST_BACKOFF_S, SHORTEST_BACKOFF_S * 2 ** min(fruitless - 1, 10))
        seconds *= random.uniform(0.75, 1.0)  # noqa: S311 - replicas must not retry in step
        if not self.waiting:
            self._wanted.clear()
        # A request asks for a try, a stream of them must not ask for a hundred a minute.
        await asyncio.sleep(min(seconds, SHORTEST_BACKOFF_S))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - SHORTEST_BACKOFF_S):
                await self._wanted.wait()


def _now() -> float:
    return time.monotonic()
