"""Who is next, and who is let in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from ocr_inference.reading.dispatch import call_limit
from ocr_inference.reading.queue import FairQueue, PageWork


def order(works: Sequence[tuple[str, str, int]], gone: frozenset[str] = frozenset()) -> list[str]:
    """The order in which pages `(client, request, page)` are taken."""

    async def take() -> list[str]:
        queue, taken = FairQueue(), []
        for client, request, number in works:
            work = page(client, request, number)
            if request in gone:
                work.outcome.cancel()
            queue.put(work)
        for _ in range(sum(request not in gone for _, request, _ in works)):
            work = await queue.get()
            taken.append(f"{work.request}{work.number}")
        return taken

    return asyncio.run(take())


def page(client: str, request: str, number: int) -> PageWork:
    return PageWork(
        client=client,
        request=request,
        path=Path("upload"),
        number=number,
        dpi=200,
        languages=(),
        queued_at=0.0,
        deadline=1.0,
        outcome=asyncio.get_running_loop().create_future(),
    )


def test_pages_of_one_document_come_in_order() -> None:
    assert order([("x", "a", 1), ("x", "a", 2), ("x", "a", 3)]) == ["a1", "a2", "a3"]


def test_a_page_waits_for_one_page_of_a_long_document_and_not_for_all() -> None:
    assert order([("x", "a", 1), ("x", "a", 2), ("x", "a", 3), ("x", "b", 1)]) == [
        "a1",
        "b1",
        "a2",
        "a3",
    ]


def test_many_documents_do_not_give_a_client_more_than_its_share() -> None:
    works = [("x", "a", 1), ("x", "b", 1), ("x", "c", 1), ("y", "d", 1)]
    assert order(works) == ["a1", "d1", "b1", "c1"]


def test_pages_that_nobody_waits_for_are_passed_over() -> None:
    works = [("x", "a", 1), ("x", "a", 2), ("x", "b", 1)]
    assert order(works, gone=frozenset("a")) == ["b1"]


def test_the_pages_of_one_request_can_be_withdrawn() -> None:
    async def scenario() -> tuple[list[int], list[str]]:
        queue = FairQueue()
        for client, request, number in (("x", "a", 1), ("x", "a", 2), ("x", "b", 1), ("y", "c", 1)):
            queue.put(page(client, request, number))
        assert (await queue.get()).request == "a"
        withdrawn = [work.number for work in queue.withdraw("x", "a")]
        withdrawn += [work.number for work in queue.withdraw("y", "c")]
        assert not queue.withdraw("nobody", "a")
        queue.put(page("z", "d", 1))
        return withdrawn, [(await queue.get()).request, (await queue.get()).request]

    assert asyncio.run(scenario()) == ([2, 1], ["b", "d"])


def test_a_taker_waits_for_the_next_page() -> None:
    async def scenario() -> str:
        queue = FairQueue()
        taker = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(page("x", "a", 1))
        return (await taker).request

    assert asyncio.run(scenario()) == "a"


@pytest.mark.parametrize(
    ("remaining", "pace", "limit"),
    [(120, None, 120), (120, 0.5, 30), (120, 5, 50), (20, 0.5, 20), (120, 60, 120), (-1, 1, 0.1)],
)
def test_a_page_may_take_ten_times_as_long_as_others(
    remaining: float, pace: float | None, limit: float
) -> None:
    assert call_limit(remaining, pace) == limit
