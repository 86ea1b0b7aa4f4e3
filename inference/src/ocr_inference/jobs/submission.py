"""From a document that was received to a job that is kept, once for each `Idempotency-Key`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from ocr_inference.errors import PublicError
from ocr_inference.jobs.backlog import Waiting
from ocr_inference.jobs.keys import promise_key
from ocr_inference.jobs.ledger import Ledger, Promise
from ocr_inference.jobs.model import Input, JobRecord, new_id, utc_now
from ocr_inference.jobs.order import Order
from ocr_inference.jobs.replica import Replica
from ocr_inference.jobs.store import ABSENT
from ocr_inference.sinks.base import StoreFailed

_TAKE_BACK_S = 1.0


class Submission:
    """`find` gives a client's job by its ID, or raises `PublicError` where it is gone."""

    def __init__(
        self,
        ledger: Ledger,
        replica: Replica,
        ttl: timedelta,
        find: Callable[[str, str], Awaitable[JobRecord]],
    ) -> None:
        self._ledger = ledger
        self._replica = replica
        self._ttl = ttl
        self._find = find
        self._taking_back: set[asyncio.Task[None]] = set()

    async def submit(self, order: Order) -> JobRecord:
        """A new job, or the one that this client's key stands for already.

        Raises `StoreFailed`, `NewerRecord`, and `PublicError` 409 idempotency_conflict, 503
        queue_full and draining.
        """
        promise = None
        if order.key is not None:
            name = promise_key(order.client, self._replica.model, order.key)
            promise = Promise(new_id(), order.content)
            made = await self._ledger.promise(name)
            if made and (kept := await self._kept(made[0], promise, order.client)) is not None:
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

    async def _promise(self, name: str, promise: Promise, client: str) -> JobRecord | None:
        """Let the key stand for our job; the other job where another request was faster."""
        over = ABSENT
        while True:
            made, over = await self._ledger.make_promise(name, promise, over)
            if made == promise:
                return None
            if (kept := await self._kept(made, promise, client)) is not None:
                return kept

    async def _kept(self, made: Promise, promise: Promise, client: str) -> JobRecord | None:
        """The job that was promised; None where it is gone, and only its key was left."""
        if made.content != promise.content:
            raise PublicError(
                409, "idempotency_conflict", "This Idempotency-Key was used for something else."
            )
        try:
            return await self._find(made.job, client)
        except PublicError:
            return None
