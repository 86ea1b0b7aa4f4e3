"""From SIGTERM to the exit: lame duck, drain, end. uvicorn alone would close its listener at once,
and requests that endpoints still send here would be refused."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import FrameType

log = logging.getLogger("ocr_inference.lifecycle")

_REAP_EVERY_S = 5.0


class Stage(StrEnum):
    SERVING = "serving"
    LAME_DUCK = "lame_duck"
    """Not ready any more, but requests that still come are served."""
    DRAINING = "draining"
    """New work is refused, what is in flight ends."""


class Lifecycle:
    def __init__(self, lame_duck: float, drain_timeout: float) -> None:
        self._lame_duck = lame_duck
        self._drain_timeout = drain_timeout
        self.stage = Stage.SERVING
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Work that a drain waits for."""
        self.in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.in_flight -= 1
            if self.in_flight == 0:
                self._idle.set()

    async def drain(self, patient: bool) -> None:
        """Returns when the process may end. `patient`: endpoints have to catch up first."""
        began = time.monotonic()
        if patient:
            self.stage = Stage.LAME_DUCK
            log.info("lame duck", extra={"seconds": self._lame_duck})
            await asyncio.sleep(self._lame_duck)
        self.stage = Stage.DRAINING
        log.info("draining", extra={"in_flight": self.in_flight})
        try:
            async with asyncio.timeout(self._drain_timeout):
                await self._idle.wait()
        except TimeoutError:
            log.warning("drain timeout", extra={"in_flight": self.in_flight})
        log.info("drained", extra={"seconds": round(time.monotonic() - began, 3)})


def handle_signals(
    was_ready: Callable[[], bool],
    drain: Callable[[bool], None],
    abandon: Callable[[], None],
    loop: asyncio.AbstractEventLoop,
) -> None:
    """SIGTERM before ready ends the process at once, in the handler: the loop may be stuck.

    Later it drains. SIGINT drains without the lame duck (no endpoint routes to a terminal), twice
    it ends the process.
    """
    interrupted = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if not was_ready() or (number == signal.SIGINT and interrupted):
            abandon()
            os._exit(128 + number)
        interrupted = interrupted or number == signal.SIGINT
        loop.call_soon_threadsafe(drain, number == signal.SIGTERM)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


async def reap_orphans(ours: Callable[[], set[int]]) -> None:
    """As PID 1, end the zombies of what our killed children had started.

    By time and not by SIGCHLD, which uvloop keeps for itself. Our own children are left to their
    `Popen`, which wants their exit status.
    """
    while True:
        await asyncio.sleep(_REAP_EVERY_S)
        _reap(ours())


def _reap(ours: set[int]) -> None:
    while (pid := _dead_child()) is not None and pid not in ours:
        os.waitpid(pid, os.WNOHANG)


def _dead_child() -> int | None:
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid
