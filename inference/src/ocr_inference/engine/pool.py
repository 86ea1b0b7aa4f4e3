"""Engine children side by side.

A page is one child's alone, so a crash or a hang of native code costs that page and no other. The
first child's load is the start that is measured; the others are loaded once it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ocr_inference.engine.supervisor import (
    EngineState,
    EngineSupervisor,
    EngineUnavailable,
    RawPage,
)
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError


class EnginePool:
    def __init__(
        self,
        first: EngineSupervisor,
        another: Callable[[], EngineSupervisor],
        size_for: Callable[[int], int],
    ) -> None:
        """`another` makes one more; `size_for` says how many there are to be in all, given the
        resident bytes of the first one when it is ready."""
        self._engines = [first]
        self._another = another
        self._size_for = size_for
        # The one used last is taken first: its memory is warm.
        self._idle: asyncio.LifoQueue[EngineSupervisor] = asyncio.LifoQueue()
        self._offers: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self.on_grown: Callable[[], None] = lambda: None
        """Called for every child beyond the first."""

    async def run(self) -> None:
        first = self._engines[0]
        async with asyncio.TaskGroup() as group:
            group.create_task(first.run())
            self._offer(first)
            await first.until_ready()
            for _ in range(self._size_for(first.resident_bytes) - 1):
                engine = self._another()
                engine.waiting = self._waiting
                self._engines.append(engine)
                group.create_task(engine.run())
                self._offer(engine)
                self.on_grown()

    async def take(self) -> EngineSupervisor:
        """An engine that is ready and idle, the caller's until `give_back`. While somebody waits,
        loads that failed are tried again soon."""
        with self._wanted():
            while True:
                engine = await self._idle.get()
                if engine.is_ready:
                    return engine
                self._offer(engine)

    def give_back(self, engine: EngineSupervisor) -> None:
        if engine.is_ready:
            self._idle.put_nowait(engine)
        else:
            self._offer(engine)

    async def call(self, op: str, page: RawPage, within: float, **arguments: Any) -> Message:
        """One call of the next idle engine, `within` seconds in all. Cancelled, it leaves the call
        to its end: the engine is not idle before. Raises as `EngineSupervisor.call`."""
        ends = time.monotonic() + within
        while True:
            try:
                async with asyncio.timeout(ends - time.monotonic()):
                    engine = await self.take()
            except TimeoutError:
                raise PublicError(
                    504, "deadline_exceeded", "The engine was not ready in time."
                ) from None
            call = engine.call(op, page, ends - time.monotonic(), **arguments)
            calling = asyncio.create_task(call)
            calling.add_done_callback(partial(self._called, engine))
            with contextlib.suppress(EngineUnavailable):  # lost before the call reached it
                return await asyncio.shield(calling)

    def _called(self, engine: EngineSupervisor, _: asyncio.Task[Message]) -> None:
        self.give_back(engine)

    def want(self) -> None:
        """There is work: loads that wait to be tried again are tried now."""
        for engine in self._engines:
            engine.want()

    @property
    def size(self) -> int:
        return len(self._engines)

    @property
    def ready(self) -> int:
        """How many can read now."""
        return sum(engine.is_ready for engine in self._engines)

    @property
    def state(self) -> EngineState:
        states = {engine.state for engine in self._engines}
        for state in (EngineState.READY, EngineState.LOADING):
            if state in states:
                return state
        return EngineState.FAILED

    @property
    def error(self) -> str | None:
        """Why no engine can read, or None."""
        if self.state is EngineState.READY:
            return None
        return next((engine.error for engine in self._engines if engine.error), None)

    @property
    def was_ready(self) -> bool:
        return self._engines[0].was_ready

    def alive(self, now: float) -> bool:
        """False when no replacement of any engine helped: see `EngineSupervisor.alive`."""
        return any(engine.alive(now) for engine in self._engines)

    def seconds_to_ready(self, now: float) -> float:
        return min(engine.seconds_to_ready(now) for engine in self._engines)

    @contextmanager
    def _wanted(self) -> Iterator[None]:
        self._waits(1)
        try:
            yield
        finally:
            self._waits(-1)

    def _waits(self, more: int) -> None:
        self._waiting += more
        for engine in self._engines:
            engine.waiting += more
            if more > 0:
                engine.want()

    def _offer(self, engine: EngineSupervisor) -> None:
        async def offer() -> None:
            await engine.until_ready()
            self._idle.put_nowait(engine)

        task = asyncio.create_task(offer(), name="offer-engine")
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)
