"""Jobs on a server without S3, over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from httpx_sse import ServerSentEvent, connect_sse
from ocr_server import OcrServer, pdf, picture, refusal, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    keys = tmp_path_factory.mktemp("keys")
    for name in ("anna", "bert"):
        (keys / name).write_text(f"key of {name}")
    with running_server(
        tmp_path_factory.mktemp("server"),
        {"text": "page {count}", "page_seconds": 0.1},
        ocr_auth_mode="Token",
        ocr_keys_dir=keys,
        ocr_max_pages_sync=5,
    ) as server:
        server.http.headers["Authorization"] = "Bearer key of anna"
        yield server


def finished(server: OcrServer, job: str) -> dict[str, Any]:
    while True:
        answer = server.get(job, params={"wait": 20})
        assert answer.status_code == 200, answer.text
        if answer.json()["finished_at"]:
            return dict(answer.json())


def test_a_job_from_its_upload_to_its_end(server: OcrServer) -> None:
    answer = server.submit(pdf(8), data={"include": "lines"})
    assert answer.status_code == 202
    job = answer.json()
    own = f"/v1/jobs/{job['id']}"
    assert answer.headers["Location"] == answer.headers["Operation-Location"] == own
    assert 1 <= int(answer.headers["Retry-After"]) <= 300
    assert job["links"] == {"self": own, "result": f"{own}/result", "events": f"{own}/events"}
    assert (job["status"], job["pages_done"], job["pages_total"]) == ("queued", 0, 8)
    assert refusal(server.get(f"{own}/result")) == (409, "job_not_finished")
    seen: list[dict[str, Any]] = []
    while not seen or not seen[-1]["finished_at"]:
        seen.append(server.get(own, params={"wait": 20}).json())
    done = [state["pages_done"] for state in seen]
    assert done == sorted(done)
    assert len(set(done)) > 4  # each wait ends with a change
    assert {state["status"] for state in seen} == {"running", "succeeded"}
    assert seen[-1]["created_at"] <= seen[-1]["started_at"] <= seen[-1]["finished_at"]
    result = server.get(f"{own}/result")
    assert result.json()["id"] == job["id"]
    assert [page["page"] for page in result.json()["pages"]] == list(range(1, 9))
    assert "blocks" not in result.json()["pages"][0]
    assert server.get(f"{own}/result").content == result.content
    assert server.metric('ocr_jobs_finished_total{status="succeeded"}') >= 1


def test_a_result_in_every_format(server: OcrServer) -> None:
    job = server.submitted(pdf(2))
    finished(server, job)
    parsed = server.get(f"{job}/result").json()
    for how in ({"params": {"output": "text"}}, {"headers": {"Accept": "text/plain"}}):
        plain = server.get(f"{job}/result", **how)
        assert plain.headers["content-type"].startswith("text/plain")
        assert plain.text == parsed["text"]
        assert plain.headers["X-OCR-Status"] == "success"
    assert server.get(f"{job}/result", params={"output": "markdown"}).text == parsed["markdown"]
    assert refusal(server.get(f"{job}/result", params={"output": "docx"}))[0] == 422


def test_a_page_as_a_picture(server: OcrServer) -> None:
    job = server.submitted(pdf(3, side=200))
    finished(server, job)
    image = server.get(f"{job}/pages/3/image", params={"side": 64})
    assert image.headers["content-type"] == "image/jpeg"
    assert image.content.startswith(b"\xff\xd8")
    assert refusal(server.get(f"{job}/pages/4/image")) == (404, "page_not_found")


def events(server: OcrServer, job: str, last_id: str = "") -> Iterator[ServerSentEvent]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with connect_sse(server.http, "GET", f"{job}/events", headers=headers) as source:
        assert source.response.headers["content-type"].startswith("text/event-stream")
        yield from source.iter_sse()


def test_pages_arrive_as_they_are_read_and_once(server: OcrServer) -> None:
    job = server.submitted(pdf(8))
    first, last_id = [], ""
    for event in events(server, job):
        if event.event == "page":
            first.append(event.json())
            last_id = event.id
        if len(first) == 3:
            break  # the connection is lost
    assert server.get(job).json()["status"] == "running"
    rest = list(events(server, job, last_id))
    assert rest[0].event == "state"
    assert rest[0].json()["status"] == "running"
    second = [event.json() for event in rest if event.event == "page"]
    assert rest[-1].event == "done"
    assert rest[-1].json()["status"] == "succeeded"
    whole = server.get(f"{job}/result").json()["pages"]
    assert sorted(first + second, key=lambda page: int(page["page"])) == whole
    late = list(events(server, job, rest[-1].id))
    assert [event.event for event in late] == ["done"]


def test_cancelling_stops_the_work(server: OcrServer) -> None:
    before = server.pages_given()
    job = server.submitted(pdf(100))
    server.wait_for(lambda: server.get(job).json()["pages_done"] >= 2)
    assert server.get("/health").json()["queue"] == {"pages": 0, "max_pages": 512, "jobs": 1}
    answer = server.http.delete(job)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert server.get("/health").json()["queue"]["jobs"] == 0
    time.sleep(0.3)  # what the engine had begun
    stopped = server.pages_given()
    time.sleep(0.7)
    assert server.pages_given() == stopped
    assert stopped - before < 20
    assert refusal(server.get(f"{job}/result")) == (409, "job_cancelled")
    assert server.metric('ocr_cancelled_total{cause="job_deleted"}') >= 1
    assert server.metric("ocr_queue_pages") == 0


def test_a_job_that_waits_is_cancelled_at_once_and_a_finished_one_is_deleted(
    server: OcrServer,
) -> None:
    running = [server.submitted(pdf(60)) for _ in range(4)]
    server.wait_for(lambda: all(server.get(job).json()["status"] == "running" for job in running))
    waiting = [server.submitted(pdf(1)) for _ in range(2)]
    assert [server.get(job).json()["queue_position"] for job in waiting] == [0, 1]
    assert server.metric('ocr_jobs{state="queued"}') == 2
    for job in [*waiting, *running]:
        assert server.http.delete(job).json()["status"] == "cancelled"
    for job in [*waiting, *running]:
        assert server.http.delete(job).status_code == 204
        assert refusal(server.get(job)) == (404, "job_not_found")


def test_whoever_follows_a_job_hears_that_it_was_cancelled(server: OcrServer) -> None:
    job = server.submitted(pdf(100))
    seen: list[ServerSentEvent] = []
    follower = threading.Thread(target=lambda: seen.extend(events(server, job)))
    follower.start()
    server.wait_for(lambda: server.get(job).json()["pages_done"] >= 1)
    server.http.delete(job)
    follower.join(10)
    assert (seen[-1].event, seen[-1].json()["status"]) == ("done", "cancelled")


def test_a_job_is_its_clients_own(server: OcrServer) -> None:
    job = server.submitted(pdf(1))
    other = {"Authorization": "Bearer key of bert"}
    for path in (job, f"{job}/result", f"{job}/events", f"{job}/pages/1/image"):
        assert refusal(server.get(path, headers=other)) == (404, "job_not_found")
    assert refusal(server.http.delete(job, headers=other)) == (404, "job_not_found")
    assert refusal(server.get(job, headers={"Authorization": ""})) == (401, "unauthorized")
    assert finished(server, job)["status"] == "succeeded"
    for nonsense in ("0" * 32, "x", "%2e%2e", "0" * 31 + "é"):
        assert server.get(f"/v1/jobs/{nonsense}").status_code == 404


def test_a_request_that_is_repeated_gets_its_job(server: OcrServer) -> None:
    key, document = {"Idempotency-Key": "order 66"}, pdf(3)
    with ThreadPoolExecutor(4) as pool:
        jobs = set(pool.map(lambda _: server.submitted(document, headers=key), range(4)))
    assert len(jobs) == 1
    job = jobs.pop()
    assert refusal(server.submit(pdf(4), headers=key)) == (409, "idempotency_conflict")
    assert refusal(server.submit(document, headers=key, data={"dpi": "100"}))[0] == 409
    bert = {**key, "Authorization": "Bearer key of bert"}
    assert server.submitted(document, headers=bert) != job
    finished(server, job)
    assert server.submitted(document, headers=key) == job
    server.http.delete(job)
    assert server.submitted(document, headers=key) != job
    too_long = {"Idempotency-Key": "x" * 256}
    assert refusal(server.submit(pdf(1), headers=too_long)) == (422, "invalid_field")
    assert refusal(server.read(pdf(1), headers=too_long)) == (422, "invalid_field")


def test_a_document_that_cannot_be_read_is_refused_at_once(server: OcrServer) -> None:
    assert refusal(server.submit(b"no document")) == (415, "unsupported_media_type")
    assert refusal(server.submit(pdf(2), data={"pages": "3"})) == (422, "invalid_pages")
    assert refusal(server.submit(pdf(2), data={"save_to_s3": "required"}))[0] == 422


def test_prefer_respond_async(server: OcrServer) -> None:
    soon = server.read(pdf(1), headers={"Prefer": "respond-async, wait=30", "Accept": "text/plain"})
    assert soon.status_code == 200
    assert soon.text.startswith("page ")
    assert soon.headers["Preference-Applied"] == "respond-async"
    late = server.read(pdf(30), headers={"Prefer": "respond-async, wait=1"})
    assert (late.status_code, late.json()["status"]) == (202, "running")
    assert late.headers["Location"] == late.json()["links"]["self"]
    assert server.http.delete(late.headers["Location"]).json()["status"] == "cancelled"
    lines = [("Prefer", "handling=lenient"), ("Prefer", "respond-async; wait=30")]
    files = {"file": ("a.pdf", pdf(1))}
    assert server.http.post("/ocr", files=files, headers=lines).status_code == 200
    # More pages than a request that is waited for may have.
    assert refusal(server.read(pdf(6))) == (422, "too_many_pages")
    assert server.read(pdf(6), headers={"Prefer": "respond-async"}).status_code == 202


def test_jobs_end_with_their_pages_errors(tmp_path: Path) -> None:
    script = {"pages": [{"fail": "The page is torn."}, {}, {"fail": "The page is burnt."}]}
    with running_server(tmp_path, script, ocr_engine_workers=1) as server:
        partial = server.submitted(pdf(2))
        assert finished(server, partial)["status"] == "partial"
        answer = server.get(f"{partial}/result").json()
        assert (answer["status"], answer["pages"][0]["error"]) == ("partial", "The page is torn.")
        failed = server.submitted(picture())
        state = finished(server, failed)
        assert (state["status"], state["error"]["message"]) == ("failed", "The page is burnt.")
        result = server.get(f"{failed}/result")
        assert refusal(result) == (409, "job_failed")
        assert result.json()["error"]["details"]["error"]["message"] == "The page is burnt."


def test_who_waits_for_a_job_hears_why_it_failed(tmp_path: Path) -> None:
    with running_server(tmp_path, {"pages": [{"fail": "The page is torn."}] * 2}) as server:
        prefer = {"Prefer": "respond-async, wait=30", "Idempotency-Key": "k"}
        as_job, waited = server.read(picture(), headers=prefer), server.read(picture())
        assert refusal(as_job) == refusal(waited) == (502, "engine_error")
        assert as_job.json()["error"] == waited.json()["error"]
        assert refusal(server.read(pdf(1), headers=prefer)) == (409, "idempotency_conflict")
        assert "409" in server.get("/openapi.json").json()["paths"]["/ocr"]["post"]["responses"]


def test_a_job_has_its_time_and_expires_after_its_own(tmp_path: Path) -> None:
    with running_server(
        tmp_path, {"page_seconds": 0.2}, ocr_result_ttl_s=1, ocr_job_timeout_s=0.8
    ) as server:
        late = server.submitted(pdf(9))
        state = finished(server, late)
        assert (state["status"], state["error"]["code"]) == ("failed", "deadline_exceeded")
        job = server.submitted(pdf(1))
        finished(server, job)
        assert server.get(f"{job}/result").status_code == 200
        server.wait_for(lambda: server.get(job).status_code == 410)
        assert refusal(server.get(f"{job}/result")) == (410, "job_expired")
        server.wait_for(lambda: not [name for name in server.left_behind if "input" in name])
        server.wait_for(lambda: server.get(job).status_code == 404)
        server.wait_for(lambda: server.left_behind == [])


def test_a_drain_waits_for_jobs(tmp_path: Path) -> None:
    with running_server(tmp_path, {"page_seconds": 0.3}) as server:
        job = server.submitted(pdf(6))
        server.wait_for(lambda: server.get(job).json()["pages_done"] >= 1)
        follower = list[ServerSentEvent]()
        thread = threading.Thread(target=lambda: follower.extend(events(server, job)))
        thread.start()
        server.terminate()
        thread.join(20)
        assert server.exit_code() == 0
        assert (follower[-1].event, follower[-1].json()["status"]) == ("done", "succeeded")
        assert [line["message"] for line in server.log_lines].count("drained") == 1
