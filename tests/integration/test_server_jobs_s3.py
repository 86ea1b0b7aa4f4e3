"""Jobs of several servers on one bucket: any of them answers for any job, and none is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from deaf_wire import deaf_wire
from httpx_sse import connect_sse
from ocr_server import OcrServer, pdf, running_server
from s3_server import ACCESS, SECRET, Store, s3_server

TAKEOVER_S = 30.0
PATIENCE_S = 45.0
"""For what is to take no longer than `TAKEOVER_S`, on a machine that does other things too."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3_server(tmp_path_factory.mktemp("s3"), "results") as store:
        yield store


def serving(
    home: Path, store: Store, text: str, seconds: float = 0.2, **settings: Any
) -> AbstractContextManager[OcrServer]:
    """A server on the bucket whose pages tell its `text`, one in so many seconds."""
    return running_server(
        home,
        {"text": f"{text} {{count}}", "page_seconds": seconds},
        ocr_s3_endpoint=settings.pop("ocr_s3_endpoint", store.endpoint),
        ocr_s3_bucket="results",
        ocr_s3_prefix="team/",
        ocr_s3_region="us-east-1",
        ocr_s3_access_key=ACCESS,
        ocr_s3_secret_key=SECRET,
        ocr_engine_workers=1,
        **settings,
    )


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[OcrServer]:
    with serving(tmp_path_factory.mktemp("slow"), store, "slow") as server:
        yield server


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Iterator[OcrServer]:
    with serving(tmp_path_factory.mktemp("fast"), store, "fast", seconds=0.02) as server:
        yield server


def state(server: OcrServer, job: str) -> dict[str, Any]:
    answer = server.get(job)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def all_finished(server: OcrServer, jobs: list[str], seconds: float) -> None:
    server.wait_for(lambda: all(state(server, job)["finished_at"] for job in jobs), seconds=seconds)


def test_any_replica_answers_for_any_job(slow: OcrServer, fast: OcrServer, store: Store) -> None:
    key, document = {"Idempotency-Key": "k"}, pdf(12)
    job = slow.submitted(document, headers=key)
    assert slow.get("/v1/models").json()["data"][0]["jobs"]["storage"] == "s3"
    # The other replica knows it at once, by its name and by its key.
    assert state(fast, job)["pages_total"] == 12
    assert fast.submitted(document, headers=key) == job
    assert fast.submit(pdf(2), headers=key).json()["error"]["code"] == "idempotency_conflict"
    assert fast.get(f"{job}/result").status_code == 409
    assert fast.get(f"{job}/pages/2/image").headers["content-type"] == "image/jpeg"
    with connect_sse(fast.http, "GET", f"{job}/events") as source:
        seen = [(event.event, event.json()) for event in source.iter_sse()]
    assert seen[-1][0] == "done"
    assert [body["page"] for kind, body in seen if kind == "page"] == list(range(1, 13))
    result = fast.get(f"{job}/result")
    assert result.content == slow.get(f"{job}/result").content
    assert result.json()["text"].startswith("slow ")  # it was read where it was sent
    for name in ("input", "job.json", "result.json"):
        assert (store.folder / "results" / "team" / job.removeprefix("/v1/") / name).is_file()
    assert fast.http.delete(job).status_code == 204
    assert slow.get(job).status_code == 404
    left = [path for path in (store.folder / "results").rglob("*") if job[9:] in str(path)]
    assert [path.suffix for path in left if path.is_file()] == [".json"]  # the stored answer
    assert fast.metric('ocr_s3_operations_total{op="list",result="ok"}') > 0


def test_a_job_is_cancelled_from_another_replica(slow: OcrServer, fast: OcrServer) -> None:
    running = [slow.submitted(pdf(200)) for _ in range(4)]
    slow.wait_for(lambda: all(state(slow, job)["pages_done"] for job in running))
    waiting = slow.submitted(pdf(1))
    at_once = fast.http.delete(waiting)
    assert (at_once.status_code, at_once.json()["status"]) == (200, "cancelled")
    asked = fast.http.delete(running[0])
    assert (asked.status_code, asked.json()["status"]) == (202, "cancelling")
    slow.wait_for(lambda: state(slow, running[0])["status"] == "cancelled", seconds=20)
    assert state(fast, running[0])["status"] == "cancelled"
    for job in running[1:]:
        assert slow.http.delete(job).json()["status"] == "cancelled"
    slow.wait_for(lambda: state(slow, waiting)["status"] == "cancelled")
    time.sleep(0.5)  # what the engine had begun
    before = slow.pages_given()
    time.sleep(1)
    assert slow.pages_given() == before


def test_a_killed_replicas_jobs_are_taken_over_and_none_is_lost(
    slow: OcrServer, fast: OcrServer, store: Store, tmp_path: Path
) -> None:
    with serving(tmp_path, store, "killed") as one:
        done = one.submitted(pdf(1))
        all_finished(one, [done], PATIENCE_S)
        shown = one.get(f"{done}/result").content
        with ThreadPoolExecutor(4) as pool:
            jobs = list(pool.map(lambda _: one.submitted(pdf(12)), range(9)))
        one.wait_for(lambda: state(one, jobs[0])["pages_done"] >= 2)
        assert {state(one, job)["status"] for job in jobs} == {"running", "queued"}
        one.process.kill()
        killed = time.monotonic()
    fast.wait_for(lambda: taken_over(slow, fast) >= set(jobs), seconds=PATIENCE_S)
    print(f"taken over after {time.monotonic() - killed:.1f} s (at most {TAKEOVER_S:.0f} s)")
    all_finished(fast, jobs, PATIENCE_S)
    print(f"finished after {time.monotonic() - killed:.1f} s")
    results = {job: fast.get(f"{job}/result").content for job in jobs}
    assert {state(slow, job)["status"] for job in jobs} == {"succeeded"}
    assert all(len(json.loads(result)["pages"]) == 12 for result in results.values())
    with serving(tmp_path, store, "again") as again:
        looked = 'ocr_s3_operations_total{op="list",result="ok"}'
        again.wait_for(lambda: again.metric(looked) >= 3)
        for job, result in (results | {done: shown}).items():
            assert again.get(f"{job}/result").content == result


def taken_over(*servers: OcrServer) -> set[str]:
    """The jobs that these servers have from others."""
    return {
        f"/v1/jobs/{line['job']}"
        for server in servers
        for line in server.log_lines
        if line["message"] == "job taken over"
    }


def test_a_replica_that_ends_gives_its_jobs_away_at_once(
    fast: OcrServer, store: Store, tmp_path: Path
) -> None:
    with serving(tmp_path, store, "ended", ocr_lame_duck_s=4) as one:
        jobs = [one.submitted(pdf(20)) for _ in range(6)]
        one.wait_for(lambda: state(one, jobs[0])["pages_done"] >= 2)
        one.terminate()
        given = time.monotonic()
        # A lame duck still takes jobs, for the others.
        one.wait_for(lambda: one.get("/readyz").status_code == 503)
        jobs.append(one.submitted(pdf(1)))
        assert one.exit_code() == 0
    all_finished(fast, jobs, PATIENCE_S)
    print(f"finished elsewhere {time.monotonic() - given:.1f} s after the signal")
    for job in jobs:
        assert state(fast, job)["status"] == "succeeded"
        text = fast.get(f"{job}/result", params={"output": "text"}).text
        assert text and "ended" not in text


def test_a_job_whose_model_no_replica_runs_any_more_fails_after_its_time(
    fast: OcrServer, store: Store, tmp_path: Path
) -> None:
    ttl = 8
    with serving(tmp_path, store, "other", ocr_vlm_model="other", ocr_result_ttl_s=ttl) as one:
        job = one.submitted(pdf(200))
        sent = time.monotonic()
        one.terminate()
        assert one.exit_code() == 0
    assert state(fast, job)["status"] == "queued"
    all_finished(fast, [job], PATIENCE_S)
    assert time.monotonic() - sent > ttl - 1
    ended = state(fast, job)
    assert ended["status"] == "failed"
    assert ended["error"]["code"] == "engine_unavailable"
    assert "scripted other" in ended["error"]["message"]
    assert fast.get(f"{job}/result").json()["error"]["code"] == "job_failed"


def test_long_jobs_write_seldom(fast: OcrServer) -> None:
    before = fast.metric('ocr_s3_operations_total{op="put",result="ok"}')
    job = fast.submitted(pdf(100), data={"save_to_s3": "false"})
    all_finished(fast, [job], PATIENCE_S)
    puts = fast.metric('ocr_s3_operations_total{op="put",result="ok"}') - before
    assert 5 <= puts < 30  # a few for the job, and now and then how far it is


def test_while_the_bucket_is_down_a_running_job_waits_for_it(
    tmp_path: Path,
) -> None:
    with (
        s3_server(tmp_path / "s3", "results") as store,
        serving(tmp_path / "server", store, "a", seconds=0.3) as server,
    ):
        job = server.submitted(pdf(5))
        server.wait_for(lambda: state(server, job)["pages_done"] >= 1)
        store.stop()
        refused = server.submit(pdf(1))
        error = refused.json()["error"]
        assert (refused.status_code, error["code"]) == (503, "storage_unavailable")
        assert "S3" in error["message"]
        assert int(refused.headers["Retry-After"]) > 0
        server.wait_for(lambda: server.metric("ocr_pages_total") == 5)
        assert state(server, job)["status"] == "running"
        assert server.get("/livez").status_code == 200
        store.start()
        all_finished(server, [job], PATIENCE_S)
        assert state(server, job)["status"] == "succeeded"
        assert len(server.get(f"{job}/result").json()["pages"]) == 5


def test_answers_of_the_bucket_that_are_lost_make_and_cancel_jobs_all_the_same(
    slow: OcrServer, store: Store, tmp_path: Path
) -> None:
    with (
        deaf_wire(store.port) as line,
        serving(tmp_path, store, "far", ocr_s3_endpoint=line.url) as far,
    ):
        line.lose("PUT", "/job.json", 1)
        sent = far.submit(pdf(1))
        assert sent.status_code == 202, sent.text
        made = sent.headers["Location"]
        all_finished(far, [made], PATIENCE_S)
        assert state(slow, made)["status"] == "succeeded"

        running = [slow.submitted(pdf(200)) for _ in range(4)]
        slow.wait_for(lambda: all(state(slow, job)["pages_done"] for job in running))
        waiting = slow.submitted(pdf(1))
        line.lose("PUT", "/job.json", 1)
        cancelled = far.http.delete(waiting)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert line.lost == 2
        for job in running:
            slow.http.delete(job)
