"""A job that this replica has: its record, and while it runs its pages and its work."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any

from ocr_inference.jobs.ledger import Held
from ocr_inference.jobs.model import JobRecord, JobStatus
from ocr_inference.pipeline.page import Page


class Stop(Enum):
    """Why a job's work is stopped."""

    CANCEL = auto()
    RELEASE = auto()
    """This replica ends; another is to have the job."""
    END = auto()
    """This replica ends, and no other could have the job."""
    LOST = auto()
    """Another replica has the job, or it was deleted."""


class Live:
    def __init__(self, held: Held) -> None:
        self.record: JobRecord = held.record
        self.tag = held.tag
        self.pages: list[Page] = []
        """In the order in which they were read."""
        self.charged = False
        """Its client has paid for its pages here: what is tried again costs nothing."""
        self.stop: Stop | None = None
        self.work: asyncio.Task[Any] | None = None
        self.ended = asyncio.Event()
        self.writing = asyncio.Lock()
        self._written = (held.record.status, held.record.pages_done)
        self._changed = asyncio.Event()

    @property
    def unwritten(self) -> bool:
        """More is known here than in the store."""
        return self._written != (self.record.status, self.record.pages_done)

    def wrote(self, held: Held) -> None:
        """This is the record now."""
        self.reported(held)
        self.become(held.record)

    def reported(self, held: Held) -> None:
        """This is in the store; the work may have gone on meanwhile."""
        self.tag = held.tag
        self._written = (held.record.status, held.record.pages_done)

    def become(self, record: JobRecord) -> None:
        self.record = record
        self.tell()

    def begin(self) -> None:
        self.pages = []
        self.become(self.record.model_copy(update={"pages_done": 0}))

    def found(self, _found: object) -> None:
        self.charged = True

    def read(self, page: Page) -> None:
        self.pages.append(page)
        self.become(self.record.model_copy(update={"pages_done": len(self.pages)}))

    def halt(self, why: Stop) -> bool:
        """Stop the work, or do not begin it; false where it is done already."""
        if self.stop is not None:
            return True
        if self.work is not None and self.work.done():
            return False
        self.stop = why
        if why is Stop.CANCEL and self.record.status is JobStatus.RUNNING:
            self.become(self.record.to(JobStatus.CANCELLING))
        if self.work is not None:
            self.work.cancel()
        return True

    def end(self) -> None:
        self.ended.set()
        self.tell()

    async def changed(self) -> None:
        """Until something is not as it was."""
        await self._changed.wait()

    def tell(self) -> None:
        """Let those who wait for a change look."""
        told, self._changed = self._changed, asyncio.Event()
        told.set()
