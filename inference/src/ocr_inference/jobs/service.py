"""The jobs as a client sees them, on whichever replica it asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from ocr_inference.jobs.documents import Documents
from ocr_inference.jobs.ledger import Ledger
from ocr_inference.jobs.live import Live, Stop
from ocr_inference.jobs.model import JobRecord, JobStatus, cancelled, is_id, utc_now
from ocr_inference.jobs.order import Order
from ocr_inference.jobs.refusals import expired, not_cancellable, not_found, public
from ocr_inference.jobs.replica import Replica
from ocr_inference.jobs.result import JobResult
from ocr_inference.jobs.runner import Runner
from ocr_inference.jobs.store import Changed, Storage
from ocr_inference.jobs.submission import Submission
from ocr_inference.sources.file import Document

POLL_S = 1.0
"""How often a job that runs elsewhere is looked at for a client that waits."""

_CANCEL_S = 5.0
_TRIES = 5


class Jobs:
    """Every method that a route calls raises `PublicError`: 404 job_not_found, 410 job_expired,
    503 storage_unavailable, and what its own words say."""

    def __init__(self, ledger: Ledger, runner: Runner, replica: Replica) -> None:
        self._ledger = ledger
        self._replica = replica
        self._ttl = runner.ttl
        self._submission = Submission(ledger, replica, runner.ttl, self._find)
        self._documents = Documents(ledger, runner.uploads, runner.workspace)

    @property
    def storage(self) -> Storage:
        return self._ledger.objects.storage

    @property
    def waiting_pages(self) -> int:
        """Pages that are still to be read on this replica."""
        return self._replica.pages

    @property
    def unfinished(self) -> int:
        """Jobs that wait or are read on this replica."""
        return self._replica.jobs

    @property
    def closing(self) -> bool:
        """Whoever follows a job had better ask another replica; there is one with S3 alone."""
        return self._replica.leaving and self._ledger.objects.shared

    async def run(self) -> None:
        """For ever."""
        await self._replica.keeper.run()

    async def leave(self) -> None:
        """This replica is to end."""
        await self._replica.leave()

    async def end(self) -> None:
        """It ends now."""
        await self._replica.end()

    # What routes call.

    async def submit(self, order: Order) -> JobRecord:
        """A new job, or the one that this client's key stands for already.

        Raises `PublicError` 409 idempotency_conflict, 503 queue_full.
        """
        with public():
            return await self._submission.submit(order)

    def check_room(self, client: str, size: int) -> None:
        """Refuse before the upload what would be refused after it: 503 queue_full."""
        self._replica.backlog.check(client, size)

    async def find(self, job: str, client: str) -> JobRecord:
        """A job of this client's."""
        with public():
            return await self._find(job, client)

    def live(self, job: str) -> Live | None:
        """The job where it is unfinished and this replica's."""
        return self._replica.live(job)

    def position(self, job: str) -> int | None:
        """How many jobs are before it, where it waits here."""
        return self._replica.position(job)

    def seconds_left(self, record: JobRecord) -> int:
        """About when to ask again."""
        return self._replica.seconds_left(record)

    async def wait(self, job: str, client: str, seconds: float) -> JobRecord:
        """The job when its state or progress has changed, at the latest after so many seconds or
        when this server is told to end. Asked after that, one that has the job alone waits anew."""
        before, ending = await self.find(job, client), self._replica.ending

        def enough(now: JobRecord) -> bool:
            return _seen(now) != _seen(before) or self._replica.ending != ending

        return await self._wait(before, seconds, enough)

    async def wait_finished(self, job: str, client: str, seconds: float) -> JobRecord:
        """The job when it is finished, at the latest as `wait`."""
        return await self._wait(await self.find(job, client), seconds, lambda _now: False)

    async def _wait(
        self, now: JobRecord, seconds: float, enough: Callable[[JobRecord], bool]
    ) -> JobRecord:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not (now.finished or self.closing or enough(now)):
                    await self.next_change(now.id)
                    now = await self.find(now.id, now.client)
        return now

    async def next_change(self, job: str) -> None:
        """Until it may be worth looking at the job again."""
        live = self._replica.live(job)
        await (asyncio.sleep(POLL_S) if live is None else live.changed())

    async def result(self, record: JobRecord) -> JobResult:
        """What was read, for a record that has a result."""
        with public():
            found = await self._ledger.result(record.id)
        if found is None:
            raise expired()
        return found

    @asynccontextmanager
    async def document(self, record: JobRecord) -> AsyncIterator[Document]:
        """The job's input on this disk."""
        sent = record.input
        async with AsyncExitStack() as stack:
            with public():
                path = await stack.enter_async_context(self._documents.get(record))
            if path is None:
                raise expired()
            yield Document(path, sent.name, sent.size, sent.sha256)

    async def cancel(self, job: str, client: str) -> JobRecord | None:
        """Stop the job; one that is finished is deleted (None).

        Raises `PublicError` 409 job_not_cancellable where it finished just now.
        """
        with public():
            record = await self._find(job, client)
            if record.finished:
                await self._ledger.remove(record)
                self._documents.forget(job)
                return None
            live = self._replica.live(job)
            if live is None or live.stop in (Stop.RELEASE, Stop.LOST):
                return await self._cancel_elsewhere(job)
            if not await self._replica.cancel(live, _CANCEL_S):
                raise not_cancellable()
            return live.record

    # The rest.

    async def _find(self, job: str, client: str) -> JobRecord:
        live = self._replica.live(job)
        if live is not None and (self._replica.runs(job) or not self._ledger.objects.shared):
            record: JobRecord | None = live.record
        else:  # also one that waits here: another replica may have cancelled it
            held = await self._ledger.read(job) if is_id(job) else None
            record = None if held is None else held.record
        if record is None or record.client != client:
            raise not_found()
        if record.status is JobStatus.EXPIRED or record.expired(utc_now()):
            raise expired()
        return record

    async def _cancel_elsewhere(self, job: str) -> JobRecord:
        for _ in range(_TRIES):
            held = await self._ledger.read(job)
            if held is None:
                break
            record = held.record
            # Also where our own write arrived, and was sent again as its answer was lost.
            if record.status in (JobStatus.CANCELLING, JobStatus.CANCELLED):
                return record
            if record.finished:
                break
            try:
                if record.status is JobStatus.QUEUED:
                    ended = cancelled(record, self._ttl)
                    return (await self._ledger.finish(ended, held.tag)).record
                await self._ledger.ask_to_cancel(job)
                return (await self._ledger.write(record.to(JobStatus.CANCELLING), held.tag)).record
            except Changed:
                continue
        raise not_cancellable()


def _seen(record: JobRecord) -> tuple[JobStatus, int]:
    return record.status, record.pages_done
