"""What is kept of jobs, and which replica has one: on a store in memory and a clock of our own."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from job_objects import MemoryObjects
from job_world import DAY, NOW, World, new

from ocr_inference.jobs import documents as documents_module
from ocr_inference.jobs import ledger as ledger_module
from ocr_inference.jobs.documents import Documents
from ocr_inference.jobs.keys import promise_key
from ocr_inference.jobs.lease import HEARTBEAT_S, STALE_S
from ocr_inference.jobs.ledger import Ledger, Promise
from ocr_inference.jobs.local import LocalObjects
from ocr_inference.jobs.model import JobRecord, JobStatus, cancelled, utc_now
from ocr_inference.jobs.store import Changed
from ocr_inference.sinks.base import StoreFailed
from ocr_inference.sources.space import UploadSpace
from ocr_inference.workspace import Workspace

RESULT = b'{"about":{"status":"success"},"pages":[]}'


async def jobs_of_a(world: World, document: Path, count: int = 3) -> None:
    await world.keepers["a"].introduce()
    for number in range(count):
        record = new(f"{number}", status=JobStatus.RUNNING if number == 0 else JobStatus.QUEUED)
        held = await world.ledger.create(record, document)
        world.hosts["a"].taken.append(held.record.id)


def test_the_jobs_of_a_replica_that_lives_stay_its_own(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b", "c")
        await jobs_of_a(world, document)
        await world.pass_by(10 * STALE_S)
        assert world.hosts["b"].taken == world.hosts["c"].taken == []

    asyncio.run(scenario())


def test_the_jobs_of_a_dead_replica_are_taken_over_once_and_within_thirty_seconds(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b", "c")
        await jobs_of_a(world, document)
        await world.pass_by(20)
        mine = list(world.hosts["a"].taken)
        world.alive.remove("a")
        world.hosts["a"].taken.clear()
        await world.pass_by(10)
        assert world.had() == []
        await world.pass_by(20)
        assert world.had() == mine
        for job in mine:
            held = await world.ledger.read(job)
            assert held is not None
            assert held.record.owner in ("b", "c")

    asyncio.run(scenario())


def test_a_replica_that_is_not_able_to_work_takes_nothing(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b")
        await jobs_of_a(world, document)
        world.alive.remove("a")
        world.hosts["b"].works = False
        await world.pass_by(60)
        assert world.hosts["b"].taken == []

    asyncio.run(scenario())


def test_jobs_of_another_model_are_left_to_its_replicas(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "b", "c")
        world.hosts["c"].model = "another"
        await world.ledger.create(new(owner="", model="another"), document)
        world.alive = {"b"}
        await world.pass_by(60)
        assert world.had() == []
        world.alive.add("c")
        await world.pass_by(HEARTBEAT_S)
        assert (world.hosts["b"].taken, world.hosts["c"].taken) == ([], ["1" * 32])

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_jobs_whose_model_nobody_has_any_more_fail_after_their_time(
    objects: MemoryObjects, document: Path, status: JobStatus
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b")
        for job, left in (("1", -DAY), ("2", DAY)):
            changes = {"model": "gone", "unread_until": utc_now() + left, "status": status}
            await world.ledger.create(new(job, **changes), document)
        await world.keepers["a"].introduce()
        world.alive = {"b"}
        await world.pass_by(HEARTBEAT_S)
        assert len((await world.ledger.active())[0]) == 2  # their owner may still live
        await world.pass_by(30)
        assert await world.ledger.active() == (["2" * 32], set())
        held = await world.ledger.read("1" * 32)
        assert held is not None
        record = held.record
        assert record.error is not None
        assert (record.status, record.error.code) == (JobStatus.FAILED, "engine_unavailable")
        assert "the model gone" in record.error.message
        assert record.expires_at is not None

    asyncio.run(scenario())


def test_jobs_that_were_given_away_are_taken_at_once(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b")
        await jobs_of_a(world, document)
        mine = sorted(world.hosts["a"].taken)
        await world.pass_by(10)
        world.hosts["a"].taken.clear()
        world.alive.remove("a")
        await world.keepers["a"].leave()
        await world.pass_by(HEARTBEAT_S)
        assert world.had() == mine

    asyncio.run(scenario())


def test_while_the_store_is_down_nobody_is_taken_for_dead(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b")
        await jobs_of_a(world, document)
        await world.pass_by(20)
        objects.down = True
        with pytest.raises(StoreFailed):
            await world.keepers["b"].look()
        world.now += 120
        objects.down = False
        await world.keepers["b"].look()  # before "a" has come to write its heartbeat
        await world.pass_by(60)
        assert world.hosts["b"].taken == []

    asyncio.run(scenario())


def test_a_job_that_was_to_be_cancelled_is_not_begun_anew(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "a", "b")
        await jobs_of_a(world, document, count=1)
        job = world.hosts["a"].taken[0]
        held = await world.ledger.read(job)
        assert held is not None
        await world.ledger.ask_to_cancel(job)
        await world.ledger.write(held.record.to(JobStatus.CANCELLING), held.tag)
        await world.pass_by(5)
        assert world.hosts["a"].stopped == [job]
        world.alive.remove("a")
        await world.pass_by(40)
        assert world.hosts["b"].taken == []
        after = await world.ledger.read(job)
        assert after is not None
        assert after.record.status is JobStatus.CANCELLED
        assert await world.ledger.active() == ([], set())

    asyncio.run(scenario())


def test_what_a_dead_replica_has_left_over_is_put_right(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        world = World(objects, "b")
        held = await world.ledger.create(new(), document)
        # It was killed after the last record and before the mark was removed.
        await world.ledger.write(cancelled(held.record, DAY), held.tag)
        await world.pass_by(30)
        assert await world.ledger.active() == ([], set())
        assert world.hosts["b"].taken == []

    asyncio.run(scenario())


def test_one_of_two_claims_wins(document: Path) -> None:
    async def scenario() -> None:
        ledger = Ledger(MemoryObjects())
        held = await ledger.create(new(), document)
        first, second = await ledger.claim(held, "b"), await ledger.claim(held, "c")
        assert first is not None
        assert (first.record.owner, second) == ("b", None)
        with pytest.raises(Changed):  # nor can the one it was taken from
            await ledger.write(held.record.to(JobStatus.RUNNING), held.tag)

    asyncio.run(scenario())


def test_where_the_last_writer_wins_the_other_sees_it_before_it_works(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_SETTLE_S", 0.01)

    async def scenario() -> None:
        ledger = Ledger(MemoryObjects(conditional=False))
        held = await ledger.create(new(), document)
        claims = await asyncio.gather(*(ledger.claim(held, owner) for owner in ("b", "c")))
        found = await ledger.read(held.record.id)
        assert found is not None
        assert [claim.record.owner for claim in claims if claim] == [found.record.owner]

    asyncio.run(scenario())


def test_an_endpoint_that_ignores_conditions_is_found_out() -> None:
    async def scenario() -> None:
        honest, ignorant = MemoryObjects(), MemoryObjects()
        ignorant.conditional = True
        put = ignorant.put

        async def ignore(key: str, body: bytes, tag: str | None = None) -> str:
            return await put(key, body)

        ignorant.put = ignore  # type: ignore[method-assign]
        for objects, kept in ((honest, True), (ignorant, False)):
            await Ledger(objects).introduce("a")
            assert objects.conditional is kept

    asyncio.run(scenario())


def test_the_first_result_stays(objects: MemoryObjects) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        assert await ledger.keep_result("1", RESULT)
        assert not await ledger.keep_result("1", RESULT.replace(b"success", b"partial"))
        result = await ledger.result("1")
        assert result is not None
        assert result.about["status"] == "success"

    asyncio.run(scenario())


def test_a_job_expires_in_two_steps_and_leaves_nothing(
    objects: MemoryObjects, document: Path
) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        key = promise_key("the client", "model", "key")
        held = await ledger.create(new(idempotency=key), document)
        await ledger.make_promise(key, Promise(held.record.id, "content"))
        await ledger.keep_result(held.record.id, RESULT)
        await ledger.finish(
            held.record.to(JobStatus.FAILED, finished_at=utc_now(), expires_at=NOW), held.tag
        )
        assert await ledger.expire(NOW - DAY, DAY, 10) == 0
        assert await ledger.expire(NOW, DAY, 10) == 1
        found = await ledger.read(held.record.id)
        assert found is not None
        assert found.record.status is JobStatus.EXPIRED
        assert await ledger.result(held.record.id) is None
        assert not await ledger.document(held.record, document)
        assert await ledger.promise(key) is None
        await ledger.expire(NOW + DAY, DAY, 10)
        assert objects.kept == {}

    asyncio.run(scenario())


def test_a_deleted_job_leaves_nothing(objects: MemoryObjects, document: Path) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        held = await ledger.create(new(), document)
        ended = await ledger.finish(cancelled(held.record, DAY), held.tag)
        await ledger.remove(ended.record)
        assert objects.kept == {}

    asyncio.run(scenario())


def test_a_key_stands_for_the_first_job(objects: MemoryObjects) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        first, second = Promise("1", "content"), Promise("2", "content")
        made = await ledger.make_promise("jobs-keys/k", first)
        assert made[0] == first
        assert await ledger.make_promise("jobs-keys/k", second) == made

    asyncio.run(scenario())


def test_names_of_objects_tell_nothing_of_a_client(objects: MemoryObjects, document: Path) -> None:
    async def scenario() -> None:
        ledger = Ledger(objects)
        key = promise_key("the client", "model", "the key")
        await ledger.create(new(idempotency=key), document)
        await ledger.make_promise(key, Promise("1", "content"))
        assert not [key for key in objects.kept if "client" in key or "the key" in key]

    asyncio.run(scenario())
    assert promise_key("ab", "c", "d") != promise_key("a", "bc", "d") != promise_key("a", "b", "cd")


def test_a_document_that_does_not_come_so_far_leaves_no_job(
    objects: MemoryObjects, tmp_path: Path
) -> None:
    async def scenario() -> None:
        with pytest.raises(FileNotFoundError):
            await Ledger(objects).create(new(), tmp_path / "missing")
        assert objects.kept == {}

    asyncio.run(scenario())


def test_a_local_document_is_kept_without_a_copy(tmp_path: Path, document: Path) -> None:
    async def scenario() -> None:
        objects = LocalObjects(tmp_path / "jobs")
        ledger = Ledger(objects)
        held = await ledger.create(new(), document)
        document.unlink()  # noqa: ASYNC240
        again = tmp_path / "again"
        assert await ledger.document(held.record, again)
        assert again.read_bytes() == b"a document"
        assert again.stat().st_nlink == 2
        with pytest.raises(Changed):
            await ledger.write(held.record, "another tag")
        ended = await ledger.finish(cancelled(held.record, DAY), held.tag)
        assert objects.used_bytes > 10
        assert await ledger.expire_oldest(utc_now(), DAY)
        assert objects.used_bytes < 2 * len(ended.record.json_bytes())
        assert not await ledger.document(held.record, tmp_path / "gone")
        assert await ledger.expire_oldest(utc_now(), DAY)  # what says that it expired
        assert objects.used_bytes == 0
        assert not await ledger.expire_oldest(utc_now(), DAY)

    asyncio.run(scenario())


def test_what_is_left_of_removed_jobs_does_not_stop_the_removal_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "_MOST_LEFT", 2)

    async def scenario() -> None:
        objects = LocalObjects(tmp_path / "jobs")
        ledger, reads = Ledger(objects), 0
        get = objects.get

        async def counted(key: str) -> tuple[bytes, str] | None:
            nonlocal reads
            reads += 1
            return await get(key)

        objects.get = counted  # type: ignore[method-assign]
        for number in range(9):
            sent = tmp_path / f"upload {number}"
            await asyncio.to_thread(sent.write_bytes, b"x" * 1000)
            held = await ledger.create(new(f"{number}"), sent)
            until = NOW + timedelta(seconds=number) + DAY
            ended = cancelled(held.record, DAY).model_copy(update={"expires_at": until})
            await ledger.finish(ended, held.tag)
            assert await ledger.expire_oldest(NOW, DAY)
            assert objects.used_bytes < 4000
        assert reads < 4 * 9
        assert len([key for key in await objects.list("jobs/") if key.endswith(".json")]) == 3

    asyncio.run(scenario())


def test_a_document_is_fetched_once_for_all_who_look_at_it(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_module, "KEEP_S", 0.05)

    async def scenario() -> None:
        ledger, space = Ledger(MemoryObjects()), UploadSpace(100, lambda: 1)
        held = await ledger.create(new(), document)
        fetches = []
        fetch = ledger.document

        async def counted(record: JobRecord, path: Path) -> bool:
            fetches.append(record.id)
            return await fetch(record, path)

        monkeypatch.setattr(ledger, "document", counted)
        workspace = Workspace(tmp_path)
        documents = Documents(ledger, space, workspace)

        async def look() -> Path:
            async with documents.get(held.record) as path:
                assert path is not None
                assert await asyncio.to_thread(path.read_bytes) == b"a document"
                return path

        paths = set(await asyncio.gather(look(), look()))
        paths.add(await look())
        assert (len(fetches), len(paths), space.bytes) == (1, 1, 10)
        await asyncio.sleep(0.2)
        assert space.bytes == 0
        assert not any(path.exists() for path in paths)
        assert await look() not in paths
        documents.forget(held.record.id)
        assert space.bytes == 0
        async with documents.get(new("2")) as path:
            assert path is None
        workspace.close()

    asyncio.run(scenario())
