"""One replica's jobs while the store fails, while it ends, and when a job stops by a mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from job_objects import MemoryObjects

from ocr_inference.errors import PublicError
from ocr_inference.jobs import replica as replica_module
from ocr_inference.jobs import runner as runner_module
from ocr_inference.jobs import submission as submission_module
from ocr_inference.jobs.backlog import Backlog
from ocr_inference.jobs.ledger import Held, Ledger
from ocr_inference.jobs.local import LocalObjects
from ocr_inference.jobs.model import JobRecord, JobStatus
from ocr_inference.jobs.order import Order
from ocr_inference.jobs.replica import MAX_RUNNING, Replica
from ocr_inference.jobs.runner import Runner
from ocr_inference.jobs.service import Jobs
from ocr_inference.jobs.store import Objects
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.results.form import OcrForm
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sources.file import Document
from ocr_inference.sources.space import UploadSpace
from ocr_inference.workspace import Workspace


class Reader:
    """Reads for ever."""

    async def read(self, *_arguments: Any) -> None:
        await asyncio.Event().wait()


@dataclass
class Stage:
    objects: Any
    ledger: Ledger
    replica: Replica
    jobs: Jobs
    document: Path

    async def submit(self, key: str | None = None) -> JobRecord:
        document = Document(self.document, "a.pdf", 10, "0")
        return await self.jobs.submit(Order("x", OcrForm(), document, 1, 1, key=key))

    async def begun(self) -> JobRecord:
        job = await self.submit()
        await self.until(lambda: self.status(job) is JobStatus.RUNNING)
        return job

    def status(self, job: JobRecord) -> JobStatus:
        live = self.jobs.live(job.id)
        return job.status if live is None else live.record.status

    async def kept(self, job: JobRecord) -> JobRecord | None:
        held = await self.ledger.read(job.id)
        return None if held is None else held.record

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.001)


Scenario = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for module, name in (
        (runner_module, "_FIRST_PAUSE_S"),
        (runner_module, "_LONGEST_PAUSE_S"),
        (replica_module, "_GIVE_AWAY_S"),
        (submission_module, "_TAKE_BACK_S"),
    ):
        monkeypatch.setattr(module, name, 0.02)

    def run(scenario: Scenario, objects: Objects | None = None) -> None:
        async def playing() -> None:
            workspace = Workspace(tmp_path)
            try:
                await scenario(stage(workspace, objects or MemoryObjects(), tmp_path))
            finally:
                workspace.close()

        asyncio.run(playing())

    return run


def stage(workspace: Workspace, objects: Objects, folder: Path) -> Stage:
    metrics, ledger = Metrics("1", "scripted"), Ledger(objects)
    runner = Runner(
        ledger=ledger,
        reader=cast(Any, Reader()),
        ocr=cast(Any, None),
        admission=Admission.unbounded(),
        uploads=UploadSpace(1000, lambda: 1),
        workspace=workspace,
        metrics=metrics,
        model=lambda: "scripted 1",
        max_pages=10,
        timeout_s=60,
        ttl=timedelta(days=1),
    )
    backlog = Backlog(10**9, lambda pages: pages)
    replica = Replica(
        ledger, runner, backlog, metrics, lambda: True, nullcontext, 10**9, "scripted"
    )
    document = folder / "document"
    document.write_bytes(b"a document")
    return Stage(objects, ledger, replica, Jobs(ledger, runner, replica), document)


def test_cancelling_a_job_that_waits_ends_while_the_store_is_down(
    play: Callable[..., None],
) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(MAX_RUNNING):
            await stage.begun()
        job = await stage.submit()
        live = stage.jobs.live(job.id)
        assert live is not None
        stage.objects.down = True
        for _ in range(2):  # also for a client that tries again
            async with asyncio.timeout(5):
                with pytest.raises(StoreFailed):
                    await stage.replica.cancel(live, within=0.05)
        stage.objects.down = False
        await stage.until(live.ended.is_set)
        found = await stage.kept(job)
        assert found is not None
        assert found.status is JobStatus.CANCELLED

    play(scenario)


def test_a_replica_that_ends_does_not_wait_for_the_store_to_give_a_new_job_away(
    play: Callable[..., None],
) -> None:
    async def scenario(stage: Stage) -> None:
        held = await stage.ledger.read((await stage.begun()).id)
        assert held is not None
        stage.objects.down = True
        async with asyncio.timeout(5):
            await stage.replica.give_away(held)

    play(scenario)


@pytest.mark.parametrize("count", [1, MAX_RUNNING + 1], ids=["running", "waiting"])
def test_what_is_cancelled_while_its_replica_ends_is_not_run_by_another(
    count: int, play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stage: Stage) -> None:
        for _ in range(count - 1):
            await stage.begun()
        job = await (stage.begun() if count == 1 else stage.submit())
        let, write = asyncio.Event(), stage.ledger.write

        async def late(record: JobRecord, tag: str) -> Held:
            if record.status is JobStatus.QUEUED:  # the job is given away
                await let.wait()
            return await write(record, tag)

        monkeypatch.setattr(stage.ledger, "write", late)
        leaving = asyncio.create_task(stage.replica.leave())
        await asyncio.sleep(0.01)
        answer = await stage.jobs.cancel(job.id, "x")
        let.set()
        await leaving
        assert answer is not None
        found = await stage.kept(job)
        assert found is not None
        assert found.status in (JobStatus.CANCELLING, JobStatus.CANCELLED)

    play(scenario)


def test_a_job_whose_key_could_not_be_written_is_none(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.replica.keeper.introduce()
        put, before = stage.objects.put, set(stage.objects.kept)

        async def failing(key: str, body: bytes, tag: str | None = None) -> str:
            if key.startswith("jobs-keys/"):
                stage.objects.down = True
            return cast(str, await put(key, body, tag))

        monkeypatch.setattr(stage.objects, "put", failing)
        with pytest.raises(PublicError) as refused:
            await stage.submit("k")
        assert (refused.value.status, refused.value.code) == (503, "storage_unavailable")
        await asyncio.sleep(0.05)
        stage.objects.down = False
        await stage.replica.keeper.look()  # it does not take the job for one that nobody has
        await stage.until(lambda: not len(stage.replica.backlog))
        assert set(stage.objects.kept) == before
        assert not stage.replica.waiting()

    play(scenario)


def test_a_job_whose_record_was_sent_twice_is_answered_and_read(
    play: Callable[..., None],
) -> None:
    async def scenario(stage: Stage) -> None:
        stage.objects.repeated = {"/job.json"}
        await stage.begun()

    play(scenario)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_who_cancels_elsewhere_with_a_write_that_was_sent_twice_is_told_that_it_is(
    status: JobStatus, play: Callable[..., None]
) -> None:
    async def scenario(stage: Stage) -> None:
        other = await stage.submit()
        stage.replica.drop([other.id])  # another replica has it
        stage.replica.backlog.remove(other.id)
        await stage.until(lambda: stage.jobs.live(other.id) is None)
        held = await stage.ledger.read(other.id)
        assert held is not None
        theirs = held.record.model_copy(update={"status": status, "owner": "another"})
        await stage.ledger.write(theirs, held.tag)
        stage.objects.repeated = {"/job.json"}
        told = await stage.jobs.cancel(other.id, "x")
        assert told is not None
        waits = status is JobStatus.QUEUED
        assert told.status is (JobStatus.CANCELLED if waits else JobStatus.CANCELLING)
        assert await stage.kept(other) == told

    play(scenario)


def test_a_job_that_was_read_before_it_was_cancelled_goes_on_to_its_end(
    play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stage: Stage) -> None:
        async def torn(*_arguments: Any) -> None:
            stage.objects.down = True  # its end cannot be written yet
            raise PublicError(422, "decode_failed", "The page is torn.")

        monkeypatch.setattr(Reader, "read", torn)
        job = await stage.submit()
        live = stage.jobs.live(job.id)
        assert live is not None
        await stage.until(lambda: live.work is not None and live.work.done())
        with pytest.raises(PublicError) as refused:
            await stage.jobs.cancel(job.id, "x")
        assert (refused.value.status, refused.value.code) == (409, "job_not_cancellable")
        stage.objects.down = False
        await live.ended.wait()
        assert live.record.status is JobStatus.FAILED

    play(scenario)


def test_repeats_of_a_request_whose_job_is_gone_get_one_new_job(
    play: Callable[..., None],
) -> None:
    async def scenario(stage: Stage) -> None:
        gone = await stage.submit("k")
        assert gone.idempotency is not None
        promise = stage.objects.kept[gone.idempotency]
        while await stage.jobs.cancel(gone.id, "x") is not None:
            pass
        stage.objects.kept[gone.idempotency] = promise  # it was left over
        get = stage.objects.get

        async def at_once(key: str) -> Any:
            found = await get(key)
            await asyncio.sleep(0.01 if key == gone.idempotency else 0)  # both have seen the same
            return found

        stage.objects.get = at_once
        first, second = await asyncio.gather(stage.submit("k"), stage.submit("k"))
        assert first.id == second.id != gone.id
        assert (await stage.submit("k")).id == first.id

    play(scenario)


def test_a_job_of_a_newer_version_is_neither_shown_nor_made_anew(
    play: Callable[..., None],
) -> None:
    async def scenario(stage: Stage) -> None:
        job = await stage.submit("k")
        stage.replica.drop([job.id])
        await stage.until(lambda: stage.jobs.live(job.id) is None)
        key = f"jobs/{job.id}/job.json"
        body, tag = stage.objects.kept[key]
        stage.objects.kept[key] = body.replace(b'"form":{', b'"form":{"from_tomorrow":"yes"'), tag
        for ask in (
            stage.jobs.find(job.id, "x"),
            stage.jobs.cancel(job.id, "x"),
            stage.submit("k"),
        ):
            with pytest.raises(PublicError, match="a newer version of this server") as refused:
                await ask
            assert (refused.value.status, refused.value.code) == (503, "storage_unavailable")
            assert refused.value.details["retry_after"] > 0

    play(scenario)


def test_a_job_is_for_the_model_that_it_was_sent_to(play: Callable[..., None]) -> None:
    async def scenario(stage: Stage) -> None:
        job = await stage.submit("k")
        assert stage.replica.can_take(job)
        stage.replica.model = "another"  # whose service shares the bucket
        assert not stage.replica.can_take(job)
        other = await stage.submit("k")
        assert (other.id != job.id, other.model) == (True, "another")
        found = await stage.kept(job)
        assert found is not None
        assert found.model == job.model == "scripted"

    play(scenario)


def test_a_job_that_stops_by_a_mistake_has_failed_where_no_other_replica_takes_it(
    tmp_path: Path, play: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(stage: Stage) -> None:
        write, writes = stage.ledger.write, 0

        async def mistaken(record: JobRecord, tag: str) -> Held:
            nonlocal writes
            writes += 1
            if writes == 1:
                raise RuntimeError("a mistake")
            return await write(record, tag)

        monkeypatch.setattr(stage.ledger, "write", mistaken)
        job = await stage.submit()
        await stage.until(lambda: stage.jobs.live(job.id) is None)
        found = await stage.kept(job)
        assert found is not None
        assert found.error is not None
        assert (found.status, found.error.code) == (JobStatus.FAILED, "internal_error")
        assert await stage.ledger.active() == ([], set())

    play(scenario, LocalObjects(tmp_path / "jobs"))
