"""The work queue: once in the queue, once in work, delays, back-off."""

from __future__ import annotations

import asyncio

import pytest
from fake_api import Clock

from ocr_operator.runtime.workqueue import (
    LONGEST_BACKOFF_SECONDS,
    SPARE_ENTRIES,
    WorkQueue,
    backoff,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock, chance=lambda: 0.0)


def test_a_key_added_often_is_worked_on_once(queue: WorkQueue[str]) -> None:
    for _ in range(1000):
        queue.add("a")
    assert queue.take() == "a"
    assert queue.take() is None


def test_keys_come_in_the_order_they_were_added(queue: WorkQueue[str]) -> None:
    for key in "abca":
        queue.add(key)
    assert [queue.take(), queue.take(), queue.take()] == ["a", "b", "c"]


def test_a_key_in_work_is_not_handed_out_again_until_it_is_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take()
    queue.add("a")
    assert queue.take() is None
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    assert queue.take() is None


def test_a_scheduled_key_comes_when_it_is_due(queue: WorkQueue[str], clock: Clock) -> None:
    queue.schedule("a", 30)
    clock.pass_(29.9)
    assert queue.take() is None
    clock.pass_(0.1)
    assert queue.take() == "a"


def test_a_new_schedule_replaces_the_old_one(queue: WorkQueue[str], clock: Clock) -> None:
    queue.schedule("a", 10)
    queue.schedule("a", 100)
    clock.pass_(50)
    assert queue.take() is None
    clock.pass_(50)
    assert queue.take() == "a"
    queue.done("a")
    clock.pass_(1000)
    assert queue.take() is None


def test_adding_a_scheduled_key_makes_it_ready_at_once_and_only_once(
    queue: WorkQueue[str], clock: Clock
) -> None:
    queue.schedule("a", 10)
    queue.add("a")
    assert queue.take() == "a"
    queue.done("a")
    clock.pass_(10)
    assert queue.take() is None


def test_a_key_that_fails_waits_longer_each_time(queue: WorkQueue[str], clock: Clock) -> None:
    waits = []
    queue.add("a")
    for _ in range(12):
        clock.pass_(LONGEST_BACKOFF_SECONDS)
        assert queue.take() == "a"
        waits.append(queue.failed("a"))
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_success_ends_the_back_off(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.take()
    queue.failed("a")
    clock.pass_(1)
    assert queue.take() == "a"
    queue.done("a")
    queue.add("a")
    queue.take()
    assert queue.failed("a") == 1


def test_an_edit_does_not_wait_for_the_back_off(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.take()
    queue.failed("a")
    queue.add("a")
    assert queue.take() == "a"


def test_what_the_api_server_asked_for_is_the_least_wait(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.take()
    assert queue.failed("a", at_least=30) == 30


@pytest.mark.parametrize("failures", [1, 5, 100, 5000])
def test_the_back_off_is_spread_and_bounded(failures: int) -> None:
    shortest, longest = backoff(failures, 1.0), backoff(failures, 0.0)
    assert 0 < shortest < longest <= LONGEST_BACKOFF_SECONDS


def test_a_forgotten_key_does_not_come_back(queue: WorkQueue[str], clock: Clock) -> None:
    for act in (queue.add, lambda key: queue.schedule(key, 5)):
        act("a")
        queue.forget("a")
        clock.pass_(10)
        assert queue.take() is None


def test_the_age_of_the_oldest_key_is_of_those_that_wait(
    queue: WorkQueue[str], clock: Clock
) -> None:
    queue.add("a")
    clock.pass_(5)
    queue.add("b")
    clock.pass_(5)
    assert queue.oldest_seconds() == 10
    queue.take()
    assert queue.oldest_seconds() == 5
    queue.take()
    assert queue.oldest_seconds() == 0


def test_replaced_schedules_do_not_pile_up(queue: WorkQueue[str]) -> None:
    for _ in range(10_000):
        queue.schedule("a", 600)
    assert len(queue._heap) <= SPARE_ENTRIES + 4


@pytest.mark.asyncio
async def test_a_waiting_worker_wakes_for_a_key_for_a_due_key_and_for_the_end() -> None:
    queue: WorkQueue[str] = WorkQueue()
    async with asyncio.timeout(5):
        first = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        assert await first == "a"
        queue.schedule("b", 0.02)
        assert await queue.get() == "b"
        last = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        queue.close()
        assert await last is None


@pytest.mark.asyncio
async def test_a_closed_queue_hands_out_nothing_more() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.close()
    queue.add("b")
    assert await queue.get() is None
