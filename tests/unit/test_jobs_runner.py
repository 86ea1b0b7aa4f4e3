"""One job on its way, with a reader that reads when it is told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
from job_objects import MemoryObjects

from ocr_inference.engine.decoder import Inspection
from ocr_inference.errors import PublicError
from ocr_inference.jobs import runner as runner_module
from ocr_inference.jobs.ledger import Held, Ledger
from ocr_inference.jobs.live import Live, Stop
from ocr_inference.jobs.model import Input, JobRecord, JobStatus
from ocr_inference.jobs.result import dump_result
from ocr_inference.jobs.runner import MAX_ATTEMPTS, Runner
from ocr_inference.metrics import Metrics
from ocr_inference.pipeline.page import Page
from ocr_inference.reading.admission import Admission, Ticket
from ocr_inference.reading.rates import PageRates
from ocr_inference.reading.reader import Reader as PageReader
from ocr_inference.reading.request import Reading, ReadRequest, Watcher
from ocr_inference.results.form import OcrForm
from ocr_inference.results.service import OcrService
from ocr_inference.settings import Settings
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sinks.bucket import Bucket
from ocr_inference.sinks.folder import FolderSink
from ocr_inference.sinks.s3 import S3Sink
from ocr_inference.sources.file import Document
from ocr_inference.sources.space import UploadSpace
from ocr_inference.workspace import Workspace

JOB = "1" * 32


@dataclass
class Reader:
    """Reads one page, then waits to be let on; the first times it has no room."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    refusals: int = 0
    calls: int = 0
    stopped: bool = False

    charges: int = 0

    async def read(self, request: ReadRequest, ticket: Ticket, watcher: Watcher) -> Reading:
        assert await asyncio.to_thread(request.document.path.read_bytes) == b"a document"
        self.calls += 1
        self.charges += not request.charged
        found = Inspection("application/pdf", 2, (1, 2), (1, 1))
        watcher.found(found)
        if self.calls <= self.refusals:
            raise PublicError(503, "storage_full", "There is no room.", retry_after=0)
        ticket.cover(2, 2)
        watcher.page(page(1))
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped = True
            raise
        watcher.page(page(2))
        return Reading(request, found, (page(1), page(2)), (), 1.0)


def page(number: int) -> Page:
    return Page(number, 10, 10, 200)


@dataclass
class Stage:
    objects: MemoryObjects
    ledger: Ledger
    reader: Reader
    runner: Runner
    live: Live

    async def kept(self) -> JobRecord:
        held = await self.ledger.read(JOB)
        assert held is not None
        return held.record

    async def beside(self, status: JobStatus, **changes: Any) -> Held:
        """What another replica does to the record."""
        held = await self.ledger.read(JOB)
        assert held is not None
        record = held.record if held.record.status is status else held.record.to(status)
        return await self.ledger.write(record.model_copy(update=changes), held.tag)


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(runner_module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(runner_module, "_LONGEST_PAUSE_S", 0.001)

    def run(scenario: Scenario, **record: Any) -> None:
        asyncio.run(_play(tmp_path, scenario, record))

    return run


async def _play(folder: Path, scenario: Scenario, changes: dict[str, Any]) -> None:
    settings, metrics = Settings(), Metrics("1", "scripted")
    workspace = Workspace(folder)
    ledger, reader = Ledger(objects := MemoryObjects()), Reader()
    runner = Runner(
        ledger=ledger,
        reader=reader,  # type: ignore[arg-type]
        ocr=OcrService(
            S3Sink(Bucket(settings), metrics),
            FolderSink(None, metrics),
            None,  # type: ignore[arg-type]
            metrics,
        ),
        admission=Admission(100, 100),
        uploads=UploadSpace(1000, lambda: 1),
        workspace=workspace,
        metrics=metrics,
        model=lambda: "scripted 1",
        max_pages=10,
        timeout_s=60,
        ttl=timedelta(days=1),
    )
    record = JobRecord(
        id=JOB,
        client="x",
        form=OcrForm(),
        fresh=False,
        input=Input(name="a.pdf", size=10, sha256="0", page_count=2),
        pages_total=2,
        owner="me",
        created_at=datetime.now(UTC),
    ).model_copy(update=changes)
    document = folder / "document"
    await asyncio.to_thread(document.write_bytes, b"a document")
    live = Live(await ledger.create(record, document))
    try:
        await scenario(Stage(objects, ledger, reader, runner, live))
    finally:
        workspace.close()


def test_a_job_is_read_and_its_pages_are_told(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        assert (stage.live.record.pages_done, stage.live.unwritten) == (1, True)
        await stage.runner.report(stage.live)
        assert (await stage.kept()).pages_done == 1
        writes = len(stage.objects.puts)
        await stage.runner.report(stage.live)
        assert len(stage.objects.puts) == writes  # nothing new, nothing written
        stage.reader.go.set()
        await running
        record = await stage.kept()
        assert (record.status, record.pages_done) == (JobStatus.SUCCEEDED, 2)
        assert record.expires_at is not None
        result = await stage.ledger.result(JOB)
        assert result is not None
        assert result.pages == (page(1), page(2))
        assert await stage.ledger.active() == ([], set())

    play(scenario)


def test_a_result_waits_for_a_store_that_is_down(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        stage.objects.down = True
        stage.reader.go.set()
        await asyncio.sleep(0.05)
        assert not running.done()
        stage.objects.down = False
        await running
        assert (await stage.kept()).status is JobStatus.SUCCEEDED

    play(scenario)


@pytest.mark.parametrize("lost", [1, 2, 3, 5])
def test_a_write_whose_answer_was_lost_is_known_as_our_own(
    lost: int, play: Callable[..., None]
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.objects.lost_answers = lost
        stage.reader.go.set()
        await stage.runner.run(stage.live)
        assert (await stage.kept()).status is JobStatus.SUCCEEDED
        assert stage.reader.calls == 1
        assert await stage.ledger.active() == ([], set())

    play(scenario)


def test_a_job_that_another_replica_has_is_let_go(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        theirs = await stage.beside(JobStatus.QUEUED, owner="another")
        await stage.runner.report(stage.live)
        await running
        assert stage.reader.stopped
        assert await stage.kept() == theirs.record
        assert await stage.ledger.result(JOB) is None

    play(scenario)


def test_a_result_that_comes_late_changes_nothing(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        await stage.ledger.keep_result(JOB, dump_result({"status": "partial"}, [page(7)]))
        theirs = await stage.beside(JobStatus.PARTIAL, owner="another", finished_at=None)
        stage.reader.go.set()
        await running
        assert await stage.kept() == theirs.record
        result = await stage.ledger.result(JOB)
        assert result is not None
        assert result.pages == (page(7),)

    play(scenario)


def test_a_result_of_an_earlier_attempt_is_not_read_again(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.ledger.keep_result(JOB, dump_result({"status": "partial"}, [page(7)]))
        await stage.runner.run(stage.live)
        assert (await stage.kept()).status is JobStatus.PARTIAL
        assert stage.reader.calls == 0

    play(scenario, attempts=1)


def test_what_another_replica_was_told_to_cancel_is_stopped(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        await stage.beside(JobStatus.CANCELLING)
        await stage.runner.report(stage.live)
        await running
        assert stage.reader.stopped
        assert (await stage.kept()).status is JobStatus.CANCELLED

    play(scenario)


def test_what_was_cancelled_while_it_waited_is_not_begun(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.beside(JobStatus.CANCELLED)
        await stage.runner.run(stage.live)
        assert stage.reader.calls == 0
        assert (await stage.kept()).status is JobStatus.CANCELLED

    play(scenario)


def test_a_replica_that_ends_leaves_the_job_as_if_it_had_not_begun(
    play: Callable[..., None],
) -> None:
    async def scenario(stage: Stage) -> None:
        before = await stage.kept()
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        assert stage.live.halt(Stop.RELEASE)
        await running
        assert stage.reader.stopped
        assert await stage.kept() == before.model_copy(update={"owner": ""})

    play(scenario)


def test_a_document_during_which_servers_end_is_given_up(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.runner.run(stage.live)
        record = await stage.kept()
        assert stage.reader.calls == 0
        assert record.status is JobStatus.FAILED
        assert record.error is not None
        assert record.error.code == "engine_error"

    play(scenario, attempts=MAX_ATTEMPTS)


def test_a_job_waits_for_room(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        stage.reader.refusals = 3
        stage.reader.go.set()
        await stage.runner.run(stage.live)
        assert stage.reader.calls == 4
        assert stage.reader.charges == 1
        assert (await stage.kept()).status is JobStatus.SUCCEEDED

    play(scenario)


class OutOfRoom:
    """A decoder, and a cache whose pages have no room."""

    async def inspect(self, *_arguments: Any) -> Inspection:
        return Inspection("application/pdf", 2, (1, 2), (1, 1))

    async def read(self, *_arguments: Any) -> NoReturn:
        raise PublicError(503, "queue_full", "There is no room.")


def test_pages_that_are_tried_again_are_paid_for_once() -> None:
    async def scenario() -> None:
        rates, fakes = PageRates(10, clock=lambda: 0.0), cast(Any, OutOfRoom())
        reader = PageReader(fakes, fakes, fakes, Metrics("1", "scripted"), rates, ("parse",))
        document = Document(Path("document"), "a.pdf", 10, "0")
        rates.admit("x")
        for charged in (False, True, True):
            request = ReadRequest("x", document, time.monotonic() + 60, charged=charged)
            ticket = Admission.unbounded().admit("x")
            with pytest.raises(PublicError, match="no room"):
                await reader.read(request, ticket)
        for _ in range(8):
            rates.admit("x")
        with pytest.raises(PublicError, match="10 pages a minute"):
            rates.admit("x")

    asyncio.run(scenario())


def test_a_document_that_does_not_come_ends_with_the_jobs_time(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stage: Stage) -> None:
        async def slow(_record: JobRecord, _path: Path) -> bool:
            raise StoreFailed("S3 did not answer in 20 s.")

        monkeypatch.setattr(stage.ledger, "document", slow)
        async with asyncio.timeout(5):
            await stage.runner.run(stage.live)
        kept = await stage.kept()
        assert kept.error is not None
        assert (kept.status, kept.error.code) == (JobStatus.FAILED, "deadline_exceeded")

    play(scenario, form=OcrForm(timeout_s=0.05))


def test_a_job_that_a_newer_version_has_taken_is_let_go(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        running = asyncio.create_task(stage.runner.run(stage.live))
        await stage.reader.begun.wait()
        key = f"jobs/{JOB}/job.json"
        newer = stage.objects.kept[key][0].replace(b'"form":{', b'"form":{"from_tomorrow":"yes"')
        stage.objects.kept[key] = newer, "newer"
        stage.reader.go.set()
        async with asyncio.timeout(5):
            await running
        assert stage.objects.kept[key] == (newer, "newer")

    play(scenario)


def test_a_document_that_is_gone_is_said(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.objects.delete(f"jobs/{JOB}/input")
        with suppress(PublicError):
            await stage.runner.run(stage.live)
        error = (await stage.kept()).error
        assert error is not None
        assert error.code == "input_lost"

    play(scenario)
