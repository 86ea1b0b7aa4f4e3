"""The jobs as a client sees them, on whichever replica it asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

from ocr_inference.errors import PublicError
from ocr_inference.jobs.backlog import Waiting
from ocr_inference.jobs.documents import Documents
from ocr_inference.jobs.ledger import Ledger, Promise, promise_key
from ocr_inference.jobs.live import Live, Stop
from ocr_inference.jobs.model import (
    Input,
    JobRecord,
    JobStatus,
    cancelled,
    is_id,
    new_id,
    utc_now,
)
from ocr_inference.jobs.order import Order
from ocr_inference.jobs.replica import Replica
from ocr_inference.jobs.result import JobResult
from ocr_inference.jobs.runner import Runner
from ocr_inference.jobs.store import Changed, Storage
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sources.file import Document

POLL_S = 1.0
"""How often a job that runs elsewhere is looked at for a client that waits."""

_CANCEL_S = 5.0
_TRIES = 5
_TAKE_BACK_S = 1.0


class Jobs:
    """Every method that a route calls raises `PublicError`: 404 job_not_found, 410 job_expired,
    503 storage_unavailable, and what its own words say."""

    def __init__(self, ledger: Ledger, runner: Runner, replica: Replica) -> None:
        self._ledger = ledger
        self._replica = replica
        self._ttl = runner.ttl
        self._taking_back: set[asyncio.Task[None]] = set()
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
        with _public():
            return await self._submit(order)

    def check_room(self, client: str, size: int) -> None:
        """Refuse before the upload what would be refused after it: 503 queue_full."""
        self._replica.backlog.check(client, size)

    async def find(self, job: str, client: str) -> JobRecord:
        """A job of this client's."""
        with _public():
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
        with _public():
            found = await self._ledger.result(record.id)
        if found is None:
            raise _expired()
        return found

    @asynccontextmanager
    async def document(self, record: JobRecord) -> AsyncIterator[Document]:
        """The job's input on this disk."""
        sent = record.input
        async with AsyncExitStack() as stack:
            with _public():
                path = await stack.enter_async_context(self._documents.get(record))
            if path is None:
                raise _expired()
            yield Document(path, sent.name, sent.size, sent.sha256)

    async def cancel(self, job: str, client: str) -> JobRecord | None:
        """Stop the job; one that is finished is deleted (None).

        Raises `PublicError` 409 job_not_cancellable where it finished just now.
        """
        with _public():
            record = await self._find(job, client)
            if record.finished:
                await self._ledger.remove(record)
                self._documents.forget(job)
                return None
            live = self._replica.live(job)
            if live is None or live.stop in (Stop.RELEASE, Stop.LOST):
                return await self._cancel_elsewhere(job)
            if not await self._replica.cancel(live, _CANCEL_S):
                raise _not_cancellable()
            return live.record

    # The rest.

    async def _submit(self, order: Order) -> JobRecord:
        promise = None
        if order.key is not None:
            name = promise_key(order.client, self._replica.model, order.key)
            promise = Promise(new_id(), order.content)
            if (kept := await self._promised(name, promise, order.client)) is not None:
                return kept
        sent, now = order.document, utc_now()
        record = JobRecord(
            id=promise.job if promise else new_id(),
            client=order.client,
            form=order.form,
            fresh=order.fresh,
            input=Input(
                name=sent.name, size=sent.size, sha256=sent.sha256, page_count=order.page_count
            ),
            pages_total=order.pages,
            model=self._replica.model,
            owner="" if self._replica.leaving else self._replica.id,
            unread_until=now + self._ttl,
            created_at=now,
            idempotency=name if promise else None,
        )
        self._replica.backlog.check(order.client, sent.size)
        self._replica.backlog.put(
            Waiting(record.id, record.client, sent.size, order.pages, ready=False)
        )
        held = None
        try:
            await self._replica.keeper.introduce()
            held = await self._ledger.create(record, sent.path)
            if promise is not None:
                kept = await self._promise(name, promise, order.client)
                if kept is not None:
                    await self._ledger.remove(record)
                    self._replica.backlog.remove(record.id)
                    return kept
        except BaseException:
            if held is None:
                self._replica.backlog.remove(record.id)
            else:
                task = asyncio.create_task(self._take_back(record))
                self._taking_back.add(task)
                task.add_done_callback(self._taking_back.discard)
            raise
        if self._replica.leaving:  # any other replica takes it
            self._replica.backlog.remove(record.id)
            if not self._ledger.objects.shared:
                raise PublicError(503, "draining", "The server is ending.", retry_after=1)
            if record.owner:
                await self._replica.give_away(held)
        else:
            self._replica.own(held)
        return record

    async def _take_back(self, record: JobRecord) -> None:
        """Remove a job that its client was told is none. As long as it has its place in the backlog
        no replica takes it for one that nobody has."""
        try:
            while True:
                with contextlib.suppress(StoreFailed):
                    await self._ledger.remove(record)
                    return
                await asyncio.sleep(_TAKE_BACK_S)
        finally:
            self._replica.backlog.remove(record.id)

    async def _promised(self, name: str, promise: Promise, client: str) -> JobRecord | None:
        """The job that the key stands for."""
        made = await self._ledger.promise(name)
        return None if made is None else await self._kept(name, made, promise, client)

    async def _promise(self, name: str, promise: Promise, client: str) -> JobRecord | None:
        """Let the key stand for our job; the other job where another request was faster."""
        made = await self._ledger.make_promise(name, promise)
        return None if made == promise else await self._kept(name, made, promise, client)

    async def _kept(
        self, name: str, made: Promise, promise: Promise, client: str
    ) -> JobRecord | None:
        if made.content != promise.content:
            raise PublicError(
                409, "idempotency_conflict", "This Idempotency-Key was used for something else."
            )
        try:
            return await self._find(made.job, client)
        except PublicError:  # it is gone, and only its key was left
            await self._ledger.drop_promise(name)
            return None

    async def _find(self, job: str, client: str) -> JobRecord:
        live = self._replica.live(job)
        if live is not None and (self._replica.runs(job) or not self._ledger.objects.shared):
            record: JobRecord | None = live.record
        else:  # also one that waits here: another replica may have cancelled it
            held = await self._ledger.read(job) if is_id(job) else None
            record = None if held is None else held.record
        if record is None or record.client != client:
            raise PublicError(404, "job_not_found", "There is no such job.")
        if record.status is JobStatus.EXPIRED or record.expired(utc_now()):
            raise _expired()
        return record

    async def _cancel_elsewhere(self, job: str) -> JobRecord:
        for _ in range(_TRIES):
            held = await self._ledger.read(job)
            if held is None or held.record.finished:
                break
            record = held.record
            if record.status is JobStatus.CANCELLING:
                return record
            try:
                if record.status is JobStatus.QUEUED:
                    ended = cancelled(record, self._ttl)
                    return (await self._ledger.finish(ended, held.tag)).record
                await self._ledger.ask_to_cancel(job)
                return (await self._ledger.write(record.to(JobStatus.CANCELLING), held.tag)).record
            except Changed:
                continue
        raise _not_cancellable()


def _seen(record: JobRecord) -> tuple[JobStatus, int]:
    return record.status, record.pages_done


@contextlib.contextmanager
def _public() -> Iterator[None]:
    try:
        yield
    except StoreFailed as error:
        raise PublicError(
            503, "storage_unavailable", f"The jobs are not reachable. {error}", retry_after=10
        ) from error


def _expired() -> PublicError:
    return PublicError(410, "job_expired", "The job is finished and was removed after its time.")


def _not_cancellable() -> PublicError:
    return PublicError(409, "job_not_cancellable", "The job has finished just now.")
