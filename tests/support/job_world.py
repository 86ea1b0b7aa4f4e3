"""Replicas whose jobs do nothing, on a store in memory and a clock of their own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from job_objects import MemoryObjects

from ocr_inference.jobs import ledger as ledger_module
from ocr_inference.jobs.keeper import Keeper
from ocr_inference.jobs.lease import HEARTBEAT_S
from ocr_inference.jobs.ledger import Held, Ledger
from ocr_inference.jobs.model import Input, JobRecord, JobStatus
from ocr_inference.results.form import OcrForm

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(params=[True, False], ids=["conditional", "last writer wins"])
def objects(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MemoryObjects:
    monkeypatch.setattr(ledger_module, "_SETTLE_S", 0.0)
    return MemoryObjects(conditional=request.param)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(b"a document")
    return path


def new(job: str = "1", owner: str = "a", **changes: Any) -> JobRecord:
    return JobRecord(
        id=job * 32,
        client="the client",
        form=OcrForm(),
        fresh=False,
        input=Input(name="a.pdf", size=10, sha256="0", page_count=1),
        pages_total=1,
        owner=owner,
        created_at=NOW,
    ).model_copy(update=changes)


@dataclass
class Replica:
    """A host whose jobs do nothing."""

    id: str
    taken: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    works: bool = True
    model: str = ""

    def has(self, job: str) -> bool:
        return job in self.taken

    def can_take(self, record: JobRecord) -> bool:
        return self.works and record.model == self.model

    def take(self, held: Held) -> None:
        assert held.record.status is JobStatus.QUEUED
        self.taken.append(held.record.id)

    def waiting(self) -> Collection[str]:
        return self.taken

    def drop(self, jobs: Collection[str]) -> None:
        self.stopped.extend(jobs)

    async def report(self) -> None: ...


class World:
    """Replicas on one store, and a clock."""

    def __init__(self, objects: MemoryObjects, *names: str) -> None:
        self.now = 0.0
        self.ledger = Ledger(objects)
        self.hosts = {name: Replica(name) for name in names}
        self.keepers = {
            name: Keeper(self.ledger, host, DAY, lambda: self.now)
            for name, host in self.hosts.items()
        }
        self.alive = set(names)

    async def pass_by(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            for name in self.alive:
                await self.keepers[name].beat()
            for name in self.alive:
                await self.keepers[name].look()
            self.now += HEARTBEAT_S

    def had(self) -> list[str]:
        return sorted(job for host in self.hosts.values() for job in host.taken)
