"""How long a replacement may take, and what is never killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ocr_inference.engine import supervisor as module
from ocr_inference.engine.host import Child
from ocr_inference.engine.memory import MemoryBound
from ocr_inference.engine.supervisor import EngineState, EngineSupervisor, RawPage
from ocr_inference.errors import PublicError
from ocr_inference.startup import StartRecord


class SilentChild:
    """Loads for ever."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    async def attach(self, on_event: object, on_end: object) -> None:
        pass

    async def end(self) -> None:
        self.lost.set()


def supervisor(child: SilentChild, spawn: Callable[[], SilentChild]) -> EngineSupervisor:
    record = StartRecord("scripted", "", "native", None, 0.0)
    return EngineSupervisor(
        spawn,  # type: ignore[arg-type]
        child,  # type: ignore[arg-type]
        0.0,
        record,
        10.0,
        lambda _why: None,
        MemoryBound(None, set, set),
    )


def test_patience_counts_the_load_and_not_the_back_off() -> None:
    async def scenario() -> None:
        child = SilentChild()
        engine = supervisor(child, SilentChild)
        engine._lost_in_call = 100.0
        assert engine.alive(109.0)
        assert not engine.alive(111.0)  # killed and still there
        child.lost.set()
        assert engine.alive(1000.0)  # backing off
        await engine._next_child()
        engine._load_began = 2000.0
        assert engine.alive(2009.0)
        assert not engine.alive(2011.0)

    asyncio.run(scenario())


def test_a_replacement_that_never_loads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHORTEST_LOAD_LIMIT_S", 0.05)

    async def scenario() -> None:
        child = SilentChild()
        engine = supervisor(child, SilentChild)
        assert engine._load_limit is None
        engine.was_ready = True
        assert not await engine._load()
        assert child.lost.is_set()
        assert engine.state is EngineState.FAILED
        assert engine.error == "The engine process did not load in time."

    asyncio.run(scenario())


def test_a_page_that_waits_shortens_every_back_off() -> None:
    async def scenario() -> float:
        engine = supervisor(SilentChild(), SilentChild)
        engine.waiting = 1
        began = time.monotonic()
        engine.want()
        await engine._back_off(4)  # 6 s and more when nobody waits
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 4


class TrimmedChild:
    """Reads, and behaves at its trim as it is told."""

    def __init__(self, read: Callable[[], object], trim: Callable[[], Awaitable[object]]) -> None:
        self.lost = asyncio.Event()
        self.pid = 0
        self.trims = 0
        self._read, self._trim = read, trim

    async def call(self, op: str, **_: object) -> object:
        if op == "read":
            return self._read()
        self.trims += 1
        return await self._trim()

    def kill(self) -> None:
        # Its end is heard of a moment later.
        asyncio.get_running_loop().call_later(0.01, self.lost.set)


class NoRoom(MemoryBound):
    """Short of memory until the child has trimmed itself."""

    def __init__(self, child: TrimmedChild, trims_well: bool) -> None:
        super().__init__(None, set, set)
        self._child, self._trims_well = child, trims_well

    def short(self) -> bool:
        return True

    def exceeded(self, now: float) -> bool:  # noqa: ARG002
        return not (self._trims_well and self._child.trims)


async def silent() -> None:
    await asyncio.sleep(3600)


async def refusing() -> None:
    raise PublicError(502, "engine_error", "The page failed by an internal error.")


async def well() -> None:
    pass


def read_page(child: TrimmedChild, trims_well: bool) -> tuple[object, EngineSupervisor]:
    async def scenario() -> tuple[object, EngineSupervisor]:
        engine = supervisor(child, SilentChild)  # type: ignore[arg-type]
        engine._memory = NoRoom(child, trims_well)
        engine._ready.set()
        page = RawPage(Path("page.bgr"), 1, 1, 200)
        try:
            return await engine.read(page, (), 5.0), engine
        except PublicError as error:
            return error.code, engine

    return asyncio.run(scenario())


@pytest.mark.parametrize(("trim", "why"), [(well, ""), (refusing, "memory"), (silent, "hung")])
def test_a_page_that_was_read_is_answered_whatever_comes_of_the_trim(
    monkeypatch: pytest.MonkeyPatch, trim: Callable[[], Awaitable[object]], why: str
) -> None:
    monkeypatch.setattr(module, "LONGEST_TRIM_S", 0.05)
    child = TrimmedChild(lambda: {"blocks": []}, trim)
    answer, engine = read_page(child, trims_well=trim is well)
    assert answer == {"blocks": []}
    assert child.trims == 1
    assert engine.is_ready is not bool(why)
    if why:
        assert engine._why == why
    assert (engine._lost_in_call is not None) is (why == "hung")


def test_a_page_that_the_engine_refused_does_not_cost_the_child_its_memory() -> None:
    def refused() -> object:
        raise PublicError(422, "unsupported_option", "no")

    child = TrimmedChild(refused, well)
    answer, engine = read_page(child, trims_well=True)
    assert (answer, child.trims, engine.is_ready) == ("unsupported_option", 1, True)


def test_a_child_that_was_waited_for_is_not_killed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    child = object.__new__(Child)
    child._process = subprocess.Popen([sys.executable, "-c", ""])
    child._process.wait()
    killed: list[int] = []
    monkeypatch.setattr("os.killpg", lambda pid, _signal: killed.append(pid))
    child.kill()
    assert killed == []
