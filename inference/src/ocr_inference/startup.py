"""The startup document: one start of this container, timed. Schema in `contract/`.

Times are passed in (CLOCK_MONOTONIC seconds), so that a start can be told without waiting for one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

PROCESS = "process"
WARMUP = "warmup"

PhaseStateName = Literal["pending", "running", "done", "failed"]


class StartState(StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"


class PhaseReport(BaseModel):
    name: str
    seconds: float
    state: PhaseStateName


class StartWarning(BaseModel):
    code: str
    message: str


class StartupDocument(BaseModel):
    schemaVersion: Literal[1] = 1
    model: str
    version: str
    backend: str
    engine_versions: dict[str, str]
    device: str | None
    cpu_limit: float | None
    state: StartState
    phases: list[PhaseReport]
    init_seconds: float | None
    attempts: int
    error: str | None
    warnings: list[StartWarning]


@dataclass(slots=True)
class _Phase:
    name: str
    state: PhaseStateName = "pending"
    began: float = 0.0
    ended: float = 0.0

    def seconds(self, now: float) -> float:
        match self.state:
            case "pending":
                return 0.0
            case "running":
                return max(0.0, now - self.began)
            case _:
                return max(0.0, self.ended - self.began)


class StartRecord:
    """What happened in this start so far. Once ready it never changes: a start is counted once."""

    def __init__(
        self, model: str, version: str, backend: str, cpu_limit: float | None, began: float
    ) -> None:
        self.model = model
        self.version = version
        self.backend = backend
        self.cpu_limit = cpu_limit
        self.state = StartState.STARTING
        self.error: str | None = None
        self.attempts = 0
        self.engine_versions: dict[str, str] = {}
        self.device: str | None = None
        self._process = _Phase(PROCESS, "running", began)
        self._phases: list[_Phase] = []
        self._spawned = began

    @property
    def outcome_known(self) -> bool:
        return self.state in (StartState.READY, StartState.FAILED)

    def answering(self, at: float) -> None:
        """The HTTP process can answer from now on."""
        self._process.state, self._process.ended = "done", at

    @property
    def model_name(self) -> str:
        return f"{self.model} {self.version}".strip()

    def spawned(self, at: float) -> None:
        """An engine child was started. A failed start stays failed until one is ready."""
        if self.state is not StartState.READY:
            self.attempts += 1
            self._spawned = at

    def planned(self, names: Sequence[str], version: str) -> None:
        if self.state is not StartState.READY:
            self.version = version
            self._phases = [_Phase(name) for name in names]

    def phase(self, name: str, state: PhaseStateName, at: float) -> None:
        phase = next((phase for phase in self._phases if phase.name == name), None)
        if phase is None or self.state is StartState.READY:
            return
        if state == "running":
            # What a child does before its first phase (starting Python) is part of that phase.
            phase.began = self._spawned if phase is self._phases[0] else at
        else:
            phase.ended = at
        phase.state = state
        if self.state is not StartState.FAILED:
            self.state = StartState.WARMING if name == WARMUP else StartState.LOADING

    def failed(self, sentence: str, at: float) -> None:
        if self.state is StartState.READY:
            return
        for phase in self._phases:
            if phase.state == "running":
                phase.state, phase.ended = "failed", at
        self.state, self.error = StartState.FAILED, sentence

    def ready(self, versions: dict[str, str], device: str) -> None:
        if self.state is StartState.READY:
            return
        self.state, self.error = StartState.READY, None
        self.engine_versions, self.device = versions, device

    def document(self, now: float, warnings: Sequence[StartWarning]) -> StartupDocument:
        return StartupDocument(
            model=self.model,
            version=self.version,
            backend=self.backend,
            engine_versions=self.engine_versions,
            device=self.device,
            cpu_limit=self.cpu_limit,
            state=self.state,
            phases=self._reports(now),
            init_seconds=self._init_seconds(now),
            attempts=self.attempts,
            error=self.error,
            warnings=list(warnings),
        )

    def _init_seconds(self, now: float) -> float | None:
        if self.state is not StartState.READY:
            return None
        return round(sum(report.seconds for report in self._reports(now)), 3)

    def _reports(self, now: float) -> list[PhaseReport]:
        return [
            PhaseReport(name=phase.name, seconds=round(seconds, 3), state=phase.state)
            for phase in (self._process, *self._phases)
            for seconds in [phase.seconds(now) - self._overlap(phase, now)]
        ]

    def _overlap(self, phase: _Phase, now: float) -> float:
        """Seconds of an engine's phase in which the HTTP process was itself still starting.

        The engine child starts before the HTTP process answers; counted twice, the phases would
        add up to more than the start took.
        """
        if phase is self._process or phase.state == "pending":
            return 0.0
        process_end = now if self._process.state == "running" else self._process.ended
        end = now if phase.state == "running" else phase.ended
        return max(0.0, min(end, process_end) - phase.began)


def process_began(stat: Path = Path("/proc/self/stat")) -> float:
    """When this process started, on CLOCK_MONOTONIC. The kernel gives it in ticks since boot."""
    # The name (second field) may hold spaces and parentheses.
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    age = since_boot - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - max(0.0, age)
