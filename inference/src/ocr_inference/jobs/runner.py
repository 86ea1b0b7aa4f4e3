"""One job on its way from queued to finished."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from ocr_inference import logs
from ocr_inference.errors import PublicError
from ocr_inference.jobs.ledger import Held, Ledger, NewerRecord
from ocr_inference.jobs.live import Live, Stop
from ocr_inference.jobs.model import JobError, JobRecord, JobStatus, utc_now
from ocr_inference.jobs.outcome import ended_unread, outcome_of, server_failed, worn_out
from ocr_inference.jobs.result import JobResult, dump_result
from ocr_inference.jobs.store import Changed
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.reader import Reader
from ocr_inference.reading.request import Reading, ReadRequest, Watcher
from ocr_inference.results.answer import Answer
from ocr_inference.results.service import OcrService, read_request
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sources.file import Document
from ocr_inference.sources.space import UploadSpace
from ocr_inference.workspace import Workspace

log = logging.getLogger("ocr_inference.jobs")

T = TypeVar("T")

MAX_ATTEMPTS = 3
"""A document during which the server ended so often is not tried again: it may be the cause."""

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
"""Between two tries of a store that is down, or of a server without room."""


class _Lost(Exception):
    """The job is not this replica's any more."""


@dataclass(frozen=True, slots=True)
class Runner:
    """`admission` is the jobs' own, without a bound: how many run is bounded elsewhere. `model`
    names the model in answers."""

    ledger: Ledger
    reader: Reader
    ocr: OcrService
    admission: Admission
    uploads: UploadSpace
    workspace: Workspace
    metrics: Metrics
    model: Callable[[], str]
    max_pages: int
    timeout_s: float
    ttl: timedelta

    async def run(self, live: Live) -> None:
        """Until the job is finished, another's, or waits again for another replica."""
        # Whichever replica reads it, its log lines are found by what its client knows.
        logs.request_id.set(live.record.id)
        with contextlib.suppress(_Lost):
            try:
                if live.record.attempts >= MAX_ATTEMPTS:
                    await self._end(live, worn_out(live.record))
                    return
                await self._write(
                    live,
                    live.record.to(
                        JobStatus.RUNNING,
                        attempts=live.record.attempts + 1,
                        started_at=utc_now(),
                    ),
                )
            except _Cancelled:
                await self.cancel(live)
                return
            await self._work(live)

    async def cancel(self, live: Live) -> None:
        """Finish a job, whose work is stopped or was never begun, as cancelled."""
        with contextlib.suppress(_Lost):
            await self._finish(live, lambda record: record.to(JobStatus.CANCELLED))
            self.metrics.cancelled.labels("job_deleted").inc()

    async def give_up(self, live: Live) -> None:
        """Finish a job, of which nobody knows why it stopped, as failed."""
        if live.record.status is JobStatus.CANCELLING:
            await self.cancel(live)
        elif not live.record.finished:
            with contextlib.suppress(_Lost):
                await self._end(live, server_failed())

    async def end(self, live: Live) -> None:
        """Finish a job, which ends with this server, as failed."""
        with contextlib.suppress(_Lost):
            await self._end(live, ended_unread())

    async def release(self, live: Live) -> None:
        """Let another replica have the job, as if it had not been begun here."""
        record = live.record
        begun = record.status is not JobStatus.QUEUED
        free = (record.to(JobStatus.QUEUED) if begun else record).model_copy(
            update={
                "owner": "",
                "pages_done": 0,
                "started_at": None,
                "attempts": record.attempts - begun,
            }
        )
        with contextlib.suppress(_Lost, _Cancelled):
            await self._write(live, free)

    async def report(self, live: Live) -> None:
        """Write how far the job is. Raises `StoreFailed`: the next time will do."""
        async with live.writing:
            if live.ended.is_set() or not live.unwritten:
                return
            record = live.record
            try:
                held = await self.ledger.write(record, live.tag)
            except Changed:
                with contextlib.suppress(_Cancelled, _Lost):
                    await self._find_out(live, record)
                return
            live.reported(held)

    async def _work(self, live: Live) -> None:
        if live.stop is None:
            live.work = asyncio.create_task(self._read(live))
            await asyncio.wait({live.work})
        match live.stop:
            case Stop.CANCEL:
                await self.cancel(live)
            case Stop.RELEASE:
                await self.release(live)
            case Stop.END:
                await self.end(live)
            case None if live.work is not None:
                await self._end(live, outcome_of(live.work))

    async def _end(self, live: Live, outcome: JobResult | JobError) -> None:
        try:
            if isinstance(outcome, JobError):
                await self._finish(live, lambda record: record.to(JobStatus.FAILED, error=outcome))
                return
            outcome = await self._kept(live.record.id, outcome)
            partial = outcome.about["status"] == "partial"
            status = JobStatus.PARTIAL if partial else JobStatus.SUCCEEDED
            done = len(outcome.pages)
            await self._finish(live, lambda record: record.to(status, pages_done=done))
        except _Cancelled:
            await self.cancel(live)

    async def _kept(self, job: str, result: JobResult) -> JobResult:
        """The result as it is kept: that of an earlier attempt where that one came so far."""
        data = await asyncio.to_thread(dump_result, result.about, result.pages)
        if await self._until_taken(lambda: self.ledger.keep_result(job, data)):
            return result
        kept = await self._until_taken(lambda: self.ledger.result(job))
        return kept or result

    async def _finish(self, live: Live, finish: Callable[[JobRecord], JobRecord]) -> None:
        now = utc_now()
        record = finish(live.record).model_copy(
            update={"finished_at": now, "expires_at": now + self.ttl}
        )
        await self._write(live, record, self.ledger.finish)
        self.metrics.jobs_finished.labels(record.status.value).inc()

    async def _write(
        self,
        live: Live,
        record: JobRecord,
        write: Callable[[JobRecord, str], Awaitable[Held]] | None = None,
    ) -> None:
        """Write the record, however long the store is down. Raises `_Lost` and `_Cancelled`."""
        put = write or self.ledger.write
        async with live.writing:
            while True:
                try:
                    live.wrote(await self._until_taken(lambda: put(record, live.tag)))
                    return
                except Changed:
                    await self._find_out(live, record)

    async def _find_out(self, live: Live, meant: JobRecord) -> None:
        """Why the record could not be written. Returns where an earlier write of ours came late, or
        where this one did and only the answer was lost: it can be written again."""
        found = None
        with contextlib.suppress(NewerRecord):  # a replica of a newer version has it
            found = await self._until_taken(lambda: self.ledger.read(meant.id))
        if found is not None and found.record.owner == live.record.owner:
            live.tag = found.tag
            wanted = (JobStatus.CANCELLING, JobStatus.CANCELLED)
            if found.record.status is JobStatus.CANCELLING and meant.status not in wanted:
                live.become(found.record)
                live.halt(Stop.CANCEL)
                raise _Cancelled
            if found.record == meant or not found.record.finished:
                return
            live.become(found.record)
        elif found is not None and found.record == meant:  # given away
            live.tag = found.tag
            return
        live.halt(Stop.LOST)
        raise _Lost

    async def _read(self, live: Live) -> JobResult:
        record = live.record
        if record.attempts > 1:
            kept = await self._until_taken(lambda: self.ledger.result(record.id))
            if kept is not None:
                return kept
        until = time.monotonic() + (record.form.timeout_s or self.timeout_s)
        while True:
            try:
                return await self._read_once(live, until)
            except PublicError as error:
                if error.status != 503 or time.monotonic() > until:
                    raise
                # There is no room now, or no engine: a job has the time to wait for it.
                await asyncio.sleep(min(_LONGEST_PAUSE_S, error.details.get("retry_after", 1)))

    async def _read_once(self, live: Live, until: float) -> JobResult:
        record = live.record
        live.begin()
        with (
            self.uploads.reserve(record.client, record.input.size),
            self.workspace.file(".job") as path,
            self.admission.admit(record.client) as ticket,
        ):
            await self._fetch(record, path, until)
            sent = Document(path, record.input.name, record.input.size, record.input.sha256)
            request = read_request(
                record.form,
                sent,
                record.client,
                until,
                record.fresh,
                identifier=record.id,
                created=record.created_at,
                max_pages=self.max_pages,
                charged=live.charged,
            )
            watcher = Watcher(found=live.found, page=live.read)
            reading = await self.reader.read(request, ticket, watcher)
            for error in reading.errors:
                # What was read is in the cache: only the pages without an engine are read again.
                if error.status == 503:
                    raise error
            answer = await self._answer(reading, request, record)
        return JobResult(answer.about, reading.pages)

    async def _fetch(self, record: JobRecord, path: Path, until: float) -> None:
        try:
            async with asyncio.timeout(until - time.monotonic()):
                there = await self._until_taken(lambda: self.ledger.document(record, path))
        except TimeoutError:
            raise PublicError(
                504, "deadline_exceeded", "The document did not come from the store in time."
            ) from None
        if not there:
            raise PublicError(500, "input_lost", "The document is not there any more.")

    async def _answer(self, reading: Reading, request: ReadRequest, record: JobRecord) -> Answer:
        total_ms = (utc_now() - record.created_at).total_seconds() * 1000
        while True:
            try:
                return await self.ocr.answer(reading, record.form, self.model(), total_ms)
            except PublicError as error:  # the result is to be kept, and that failed
                if error.status != 502 or time.monotonic() > request.deadline:
                    raise
            await asyncio.sleep(_LONGEST_PAUSE_S)

    async def _until_taken(self, work: Callable[[], Awaitable[T]]) -> T:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                return await work()
            except StoreFailed as error:
                log.warning("the jobs' store is down: %s", error)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)


class _Cancelled(Exception):
    """Another replica was told to cancel the job."""
