"""The inputs of jobs on this disk, for those who look at pages or want them written again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ocr_inference.jobs.ledger import Ledger
from ocr_inference.jobs.model import JobRecord
from ocr_inference.sources.space import UploadSpace
from ocr_inference.workspace import Workspace

KEEP_S = 60.0
"""Whoever looks at one page will look at the next: a document is not fetched for each of them."""


@dataclass(eq=False)
class _Fetched:
    fetching: asyncio.Task[Path | None]
    held: ExitStack
    users: int = 0


class Documents:
    def __init__(self, ledger: Ledger, uploads: UploadSpace, workspace: Workspace) -> None:
        self._ledger = ledger
        self._uploads = uploads
        self._workspace = workspace
        # A local document is linked, which costs nothing.
        self._keep_s = KEEP_S if ledger.objects.shared else 0.0
        self._fetched: dict[str, _Fetched] = {}

    @asynccontextmanager
    async def get(self, record: JobRecord) -> AsyncIterator[Path | None]:
        """Where the document is for now; None where it is kept no more. Raises `StoreFailed`, and
        `PublicError` 503 queue_full where the disk has no room for it."""
        job = record.id
        fetched = self._fetched.get(job) or self._fetch(record)
        fetched.users += 1
        try:
            yield await asyncio.shield(fetched.fetching)
        finally:
            fetched.users -= 1
            if not fetched.users:
                loop = asyncio.get_running_loop()
                loop.call_later(self._keep_s if _there(fetched) else 0.0, self._drop, job, fetched)

    def forget(self, job: str) -> None:
        """The job is deleted."""
        if (fetched := self._fetched.get(job)) is not None:
            self._drop(job, fetched)

    def _fetch(self, record: JobRecord) -> _Fetched:
        held = ExitStack()
        held.enter_context(self._uploads.reserve(record.client, record.input.size))
        path = held.enter_context(self._workspace.file(".input"))

        async def fetch() -> Path | None:
            return path if await self._ledger.document(record, path) else None

        fetched = _Fetched(asyncio.create_task(fetch()), held)
        self._fetched[record.id] = fetched
        return fetched

    def _drop(self, job: str, fetched: _Fetched) -> None:
        if fetched.users or self._fetched.get(job) is not fetched:
            return
        if not fetched.fetching.done():  # everybody left; it is dropped when it has come
            fetched.fetching.add_done_callback(lambda _done: self._drop(job, fetched))
            return
        del self._fetched[job]
        fetched.held.close()


def _there(fetched: _Fetched) -> bool:
    with suppress(Exception, asyncio.CancelledError):
        return fetched.fetching.done() and fetched.fetching.result() is not None
    return False
