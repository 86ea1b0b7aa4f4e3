"""SIGTERM on a server without S3 that has jobs: nobody else can read them or answer for them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from httpx_sse import connect_sse
from ocr_server import OcrServer, pdf, picture, refusal, running_server

from ocr_inference.jobs.replica import MAX_RUNNING


def followed(server: OcrServer, job: str) -> list[tuple[str, dict[str, Any]]]:
    """All events of the job's stream, which ends as one should."""
    with connect_sse(server.http, "GET", f"{job}/events") as source:
        return [(event.event, event.json()) for event in source.iter_sse()]


def running(server: OcrServer, job: str) -> bool:
    return bool(server.get(job).json()["status"] == "running")


def finished(server: OcrServer, job: str) -> dict[str, Any]:
    while not (state := server.get(job, params={"wait": 60}).json())["finished_at"]:
        pass
    return dict(state)


def test_who_waits_is_answered_at_once_and_the_job_is_finished(tmp_path: Path) -> None:
    script = {"text": "was read", "pages": [{"seconds": 6}]}
    with (
        running_server(tmp_path, script, ocr_lame_duck_s=2) as server,
        ThreadPoolExecutor(2) as pool,
    ):
        job = server.submitted(picture())
        server.wait_for(lambda: running(server, job))
        stream = pool.submit(followed, server, job)
        poll = pool.submit(server.get, job, params={"wait": 60})
        time.sleep(0.5)  # both have come
        assert not poll.done()
        server.terminate()
        told = time.monotonic()
        present = poll.result()
        assert time.monotonic() - told < 2
        assert (present.status_code, present.json()["status"]) == (200, "running")
        assert present.headers["Connection"] == "close"
        late = server.submitted(pdf(2))  # a lame duck takes jobs, and does them
        server.wait_for(lambda: "draining" in server.log)
        assert refusal(server.submit(picture())) == (503, "draining")
        # Who asks again waits for what is to come.
        began = time.monotonic()
        assert server.get(job, params={"wait": 60}).json()["pages_done"] == 1
        assert time.monotonic() - began > 1
        assert finished(server, job)["status"] == "succeeded"
        assert [kind for kind, _ in stream.result()][-2:] == ["page", "done"]
        assert server.get(f"{job}/result", params={"output": "text"}).text == "was read"
        assert finished(server, late)["status"] == "succeeded"
        assert len(server.get(f"{late}/result").json()["pages"]) == 2
        assert server.exit_code() == 0
        assert server.left_behind == []


def test_a_job_that_the_drain_does_not_finish_has_failed_for_all_who_wait(tmp_path: Path) -> None:
    script = {"pages": [{"hang": True}]}
    settings = {"ocr_lame_duck_s": 0.2, "ocr_drain_timeout_s": 4}
    with (
        running_server(tmp_path, script, **settings) as server,
        ThreadPoolExecutor(MAX_RUNNING + 4) as pool,
    ):
        jobs = [server.submitted(picture(40 + number)) for number in range(MAX_RUNNING)]
        server.wait_for(lambda: all(running(server, job) for job in jobs))
        jobs.append(server.submitted(picture()))  # and one that waits
        streams = [pool.submit(followed, server, job) for job in jobs[-2:]]
        waiting = {"Prefer": "respond-async, wait=60"}
        answer = pool.submit(server.read, picture(30), headers=waiting)
        server.wait_for(lambda: server.metric('ocr_jobs{state="queued"}') == 2)
        server.terminate()
        server.wait_for(lambda: "draining" in server.log)
        polls = [pool.submit(server.get, jobs[0], params={"wait": 60}) for _ in range(2)]
        for poll in polls:
            state = poll.result().json()
            assert (state["status"], state["error"]["code"]) == ("failed", "draining")
            assert "Send it again" in state["error"]["message"]
        for stream in streams:
            kind, state = stream.result()[-1]
            assert (kind, state["status"]) == ("done", "failed")
        assert refusal(answer.result()) == (503, "draining")
        began = time.monotonic()
        assert server.exit_code() == 0
        assert time.monotonic() - began < 12
        assert server.left_behind == []
