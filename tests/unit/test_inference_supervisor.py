"""How long a replacement may take, and what is never killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from ocr_inference.engine import supervisor as module
from ocr_inference.engine.host import Child
from ocr_inference.engine.memory import MemoryBound
from ocr_inference.engine.supervisor import EngineState, EngineSupervisor
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


def test_a_child_that_was_waited_for_is_not_killed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    child = object.__new__(Child)
    child._process = subprocess.Popen([sys.executable, "-c", ""])
    child._process.wait()
    killed: list[int] = []
    monkeypatch.setattr("os.killpg", lambda pid, _signal: killed.append(pid))
    child.kill()
    assert killed == []
