"""The rules of jobs that need no store: states, turns, who lives, what is on the wire."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_inference.api.jobs.events import format_id, parse_id
from ocr_inference.api.jobs.prefer import respond_async
from ocr_inference.errors import PublicError
from ocr_inference.jobs.backlog import MAX_JOBS, Backlog, Waiting
from ocr_inference.jobs.lease import GAP_S, HEARTBEAT_S, STALE_S, Heartbeats
from ocr_inference.jobs.model import FINISHED, ForbiddenChange, Input, JobRecord, JobStatus
from ocr_inference.jobs.order import Order
from ocr_inference.results.form import OcrForm
from ocr_inference.sources.file import Document

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(status: JobStatus = JobStatus.QUEUED) -> JobRecord:
    return JobRecord(
        id="1" * 32,
        client="x",
        form=OcrForm(),
        fresh=False,
        input=Input(name="a.pdf", size=10, sha256="0", page_count=1),
        pages_total=1,
        status=status,
        created_at=NOW,
    )


def test_a_field_that_another_version_has_makes_no_other_order() -> None:
    document = Document(Path("a.pdf"), "a.pdf", 10, "0")
    plain, asked = OcrForm(dpi=200), OcrForm(dpi=300)
    told = [Order("x", form, document, 1, 1).content for form in (plain, asked)]
    assert told == [
        hashlib.sha256(f"0 {given}".encode()).hexdigest() for given in ("{}", '{"dpi":300}')
    ]


@pytest.mark.parametrize("ended", sorted(FINISHED))
def test_what_is_finished_never_changes_but_expires(ended: JobStatus) -> None:
    for status in JobStatus:
        if status is not JobStatus.EXPIRED:
            with pytest.raises(ForbiddenChange):
                record(ended).to(status)
    assert record(ended).to(JobStatus.EXPIRED).status is JobStatus.EXPIRED


@pytest.mark.parametrize(
    ("before", "after"),
    [("queued", "succeeded"), ("queued", "cancelling"), ("cancelling", "running"),
     ("cancelling", "succeeded"), ("expired", "queued")],
)  # fmt: skip
def test_no_state_is_left_out(before: str, after: str) -> None:
    with pytest.raises(ForbiddenChange):
        record(JobStatus(before)).to(JobStatus(after))


def test_a_record_comes_back_as_it_was_written() -> None:
    told = record().to(JobStatus.RUNNING, attempts=2, started_at=NOW, pages_done=1)
    assert JobRecord.model_validate_json(told.json_bytes()) == told


def test_a_replica_is_gone_when_its_heartbeat_stood_still_before_our_own_eyes() -> None:
    beats = Heartbeats()
    for second in range(0, int(STALE_S) + 1, int(HEARTBEAT_S)):
        beats.observe({"a": f"{second}", "dead": "1"}, now=100.0 + second)
    assert beats.lives("a", 100.0 + STALE_S)
    assert not beats.lives("dead", 100.0 + STALE_S)
    assert not beats.lives("never seen", 100.0)


def test_whoever_looked_away_begins_to_count_anew() -> None:
    beats = Heartbeats()
    beats.observe({"a": "1"}, now=0.0)
    # The bucket was down for all, and "a" has not come to write its heartbeat.
    beats.observe({"a": "1"}, now=GAP_S + STALE_S)
    assert beats.lives("a", GAP_S + STALE_S)


def test_a_heartbeat_that_was_taken_away_is_that_of_nobody() -> None:
    beats = Heartbeats()
    beats.observe({"a": "1"}, now=0.0)
    beats.observe({}, now=1.0)
    assert not beats.lives("a", 1.0)


def backlog(max_bytes: int = 10**9) -> Backlog:
    return Backlog(max_bytes, retry_after=lambda pages: pages)


def fill(queue: Backlog, client: str) -> int:
    """How many jobs of this client find room."""
    count = 0
    try:
        while True:
            queue.check(client, 1)
            queue.put(Waiting(f"{client}{count}", client, 1, 1))
            count += 1
    except PublicError as error:
        assert (error.status, error.code) == (503, "queue_full")
        assert error.details["retry_after"] == queue.pages
    return count


def test_a_client_leaves_room_for_the_next_one() -> None:
    queue = backlog()
    counts = [fill(queue, client) for client in "abcd"]
    assert counts[0] == MAX_JOBS // 2
    assert all(counts)
    assert len(queue) == sum(counts) < MAX_JOBS


def test_what_waits_is_bounded_in_bytes() -> None:
    queue = backlog(max_bytes=100)
    queue.check("a", 100)
    queue.put(Waiting("1", "a", 60, 1))
    with pytest.raises(PublicError):
        queue.check("b", 41)
    queue.check("b", 40)


def test_the_client_with_fewest_running_jobs_is_next_and_in_order() -> None:
    queue = backlog()
    for job, client in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")):
        queue.put(Waiting(job, client, 1, 1))
    running = Counter({"a": 1})
    assert [queue.position(job, running) for job in ("b1", "a1", "a2", "a3")] == [0, 1, 2, 3]
    assert queue.take(running) == "b1"
    assert queue.take(Counter()) == "a1"
    assert queue.remove("a2")
    assert queue.take(running) == "a3"
    assert queue.take(running) is None


def test_a_job_that_is_not_written_down_yet_is_not_begun() -> None:
    queue = backlog()
    queue.put(Waiting("1", "a", 1, 1, ready=False))
    assert queue.take(Counter()) is None
    queue.ready("1")
    assert queue.take(Counter()) == "1"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("wait=5", None),
        ("respond-async", 0.0),
        ("Respond-Async, wait=5", 5.0),
        ('return=minimal, respond-async; x=1, wait="7"', 7.0),
        ("respond-async; wait=5", 5.0),
        ("respond-async;wait=5;wait=6, respond-async;wait=7", 5.0),
        ("respond-async; wait=5, wait=6", 6.0),
        ("respond-async, handling; wait=5", 0.0),
        ("respond-async, wait=5, wait=6", 5.0),
        ('note="never, respond-async"', None),
        ("wait = 5 , respond-async", 5.0),
        (";;==,,respond-async;", 0.0),
        ("respond-async, wait=5000", 60.0),
        ("respond-async, wait=-5", 0.0),
        ("respond-async, wait=soon", 0.0),
    ],
)
def test_prefer(header: str, seconds: float | None) -> None:
    assert respond_async(header) == seconds


@given(st.sets(st.integers(1, 2000)))
def test_an_event_id_names_the_pages_that_were_sent(pages: set[int]) -> None:
    assert parse_id(format_id(pages)) == pages


@pytest.mark.parametrize("text", ["", "x", "-", "1-99999999999", "9" * 9000, "2-1", "-3"])
def test_an_id_that_is_not_ours_names_no_pages(text: str) -> None:
    assert parse_id(text) == set()
