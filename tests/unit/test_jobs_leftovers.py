"""What is left half-way of jobs, and what others may still need, when replicas look after them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from job_objects import MemoryObjects
from job_world import DAY, NOW, World, new

from ocr_inference.jobs.keeper import UNRECORDED_S
from ocr_inference.jobs.keys import ACTIVE, REPLICAS, cancel_key, promise_key
from ocr_inference.jobs.ledger import Ledger, NewerRecord, Promise
from ocr_inference.jobs.model import JobRecord, JobStatus, cancelled
from ocr_inference.sinks.base import StoreFailed

KEY = promise_key("the client", "model", "key")
JOB = "1" * 32


def of_jobs(objects: MemoryObjects) -> set[str]:
    return {key for key in objects.kept if not key.startswith(REPLICAS)}


def failing_at(objects: MemoryObjects, ending: str, fail: Callable[[], None]) -> None:
    """`fail` before anything is written whose key ends so."""
    put = objects.put

    async def failing(key: str, body: bytes, tag: str | None = None) -> str:
        if key.endswith(ending):
            fail()
        return await put(key, body, tag)

    objects.put = failing  # type: ignore[method-assign]


def test_a_new_record_that_was_sent_twice_is_our_own(document: Path) -> None:
    async def scenario() -> None:
        objects = MemoryObjects()
        ledger = Ledger(objects)
        objects.repeated = {"/job.json"}
        held = await ledger.create(new(), document)
        assert await ledger.read(JOB) == held
        await ledger.write(held.record.to(JobStatus.RUNNING), held.tag)

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["/input", "/job.json"])
def test_a_document_whose_server_was_killed_before_its_record_is_removed_after_minutes(
    objects: MemoryObjects, document: Path, end: str
) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        objects.down = True  # nothing is tidied up
        raise Killed

    async def scenario() -> None:
        world = World(objects, "a", "b")
        await world.keepers["a"].introduce()
        failing_at(objects, end, kill)
        with pytest.raises((Killed, StoreFailed)):
            await world.ledger.create(new(), document)
        objects.down = False
        assert ACTIVE + JOB in of_jobs(objects)
        world.alive = {"b"}
        await world.pass_by(60)
        assert of_jobs(objects)
        await world.pass_by(UNRECORDED_S)
        assert of_jobs(objects) == set()
        assert world.had() == []

    asyncio.run(scenario())


def test_what_comes_late_of_a_document_that_was_given_up_is_removed(
    objects: MemoryObjects, document: Path
) -> None:
    def give_up() -> None:
        raise StoreFailed

    async def scenario() -> None:
        world = World(objects, "a")
        await world.keepers["a"].introduce()
        failing_at(objects, "/input", give_up)
        with pytest.raises(StoreFailed):
            await world.ledger.create(new(), document)
        objects.kept[f"jobs/{JOB}/input"] = b"a document", "late"
        await world.pass_by(UNRECORDED_S + 60)
        assert of_jobs(objects) == set()

    asyncio.run(scenario())


def test_a_document_that_takes_long_to_send_is_left_to_its_replica(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b")
        await world.keepers["a"].introduce()
        world.hosts["a"].taken.append(JOB)  # it has its place there
        go = asyncio.Event()
        put_file = objects.put_file

        async def slow(key: str, path: Path) -> None:
            await go.wait()
            await put_file(key, path)

        objects.put_file = slow  # type: ignore[method-assign]
        sending = asyncio.create_task(world.ledger.create(new(), document))
        await asyncio.sleep(0)
        assert of_jobs(objects) == {ACTIVE + JOB}
        await world.pass_by(3 * UNRECORDED_S)
        go.set()
        await sending
        await world.pass_by(60)
        assert len(of_jobs(objects)) == 3
        assert world.hosts["b"].taken == []

    asyncio.run(scenario())


def test_a_wish_to_cancel_that_came_too_late_is_removed(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a")
        held = await world.ledger.create(new(), document)
        await world.ledger.finish(cancelled(held.record, DAY), held.tag)
        await world.ledger.ask_to_cancel(JOB)
        await world.pass_by(5)
        assert cancel_key(JOB) not in objects.kept

    asyncio.run(scenario())


async def ended(ledger: Ledger, document: Path, job: str) -> JobRecord:
    held = await ledger.create(new(job, idempotency=KEY), document)
    record = cancelled(held.record, DAY).model_copy(update={"expires_at": NOW})
    return (await ledger.finish(record, held.tag)).record


@pytest.mark.parametrize("by", ["time", "client"])
def test_a_job_that_ends_takes_no_key_from_a_newer_one(
    objects: MemoryObjects, document: Path, by: str
) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        old = await ended(ledger, document, "1")
        newer = Promise("2" * 32, "content")
        await ledger.make_promise(KEY, newer)
        if by == "time":
            assert await ledger.expire(NOW, DAY, 10) == 1
        else:
            await ledger.remove(old)
        found = await ledger.promise(KEY)
        assert found is not None
        assert found[0] == newer

    asyncio.run(scenario())


def test_one_of_two_that_find_a_key_of_a_job_that_is_gone_gets_it(
    objects: MemoryObjects,
) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        old, first, second = (Promise(job * 32, "content") for job in "123")
        _, tag = await ledger.make_promise(KEY, old)
        assert (await ledger.make_promise(KEY, first, tag))[0] == first
        assert (await ledger.make_promise(KEY, second, tag))[0] == first

    asyncio.run(scenario())


def newer(objects: MemoryObjects, job: str = JOB) -> None:
    """The record says what only a newer version knows."""
    body, _ = objects.kept[f"jobs/{job}/job.json"]
    told = body.replace(b'"form":{', b'"form":{"from_tomorrow":"yes"')
    assert told != body
    objects.kept[f"jobs/{job}/job.json"] = told, "newer"


def test_a_job_of_a_newer_version_is_left_to_its_replicas(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "b")
        for job in "12":
            await world.ledger.create(new(job, owner="gone"), document)
        newer(objects)
        before = objects.kept[f"jobs/{JOB}/job.json"]
        await world.pass_by(2 * UNRECORDED_S)
        assert world.had() == ["2" * 32]
        assert objects.kept[f"jobs/{JOB}/job.json"] == before
        with pytest.raises(NewerRecord):
            await world.ledger.read(JOB)

    asyncio.run(scenario())


def test_jobs_of_a_newer_version_do_not_stop_the_removal_of_others(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        for job in "12":
            await ended(ledger, document, job)
        newer(objects)
        for _ in range(2):
            await ledger.expire(NOW, DAY, 1)
        record = await ledger.read("2" * 32)
        assert record is not None
        assert record.record.status is JobStatus.EXPIRED
        assert f"jobs/{JOB}/input" in objects.kept  # for the newer ones, as long again
        for _ in range(2):
            await ledger.expire(NOW + DAY, DAY, 1)
        assert of_jobs(objects) == set()

    asyncio.run(scenario())


def test_what_a_newer_version_says_beside_a_record_is_kept(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        await ledger.create(new(), document)
        body, tag = objects.kept[f"jobs/{JOB}/job.json"]
        objects.kept[f"jobs/{JOB}/job.json"] = body.replace(b"{", b'{"priority":7,', 1), tag
        held = await ledger.read(JOB)
        assert held is not None
        assert await ledger.claim(held, "b") is not None
        assert b'"priority":7' in objects.kept[f"jobs/{JOB}/job.json"][0]

    asyncio.run(scenario())
