"""How many bytes of uploads are let in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ocr_inference.auth import ANONYMOUS
from ocr_inference.errors import PublicError
from ocr_inference.sources.space import Reservation, UploadSpace, upload_budget


def space(max_bytes: int) -> UploadSpace:
    return UploadSpace(max_bytes, lambda: 7)


def sent(reservation: Reservation, *sizes: int) -> int:
    async def body() -> AsyncIterator[bytes]:
        for size in sizes:
            yield bytes(size)

    async def receive() -> int:
        return sum([len(chunk) async for chunk in reservation.counted(body())])

    return asyncio.run(receive())


def test_announced_bytes_count_until_the_upload_is_gone() -> None:
    uploads = space(100)
    with uploads.reserve(ANONYMOUS, 60) as first:
        assert sent(first, 30, 30) == 60
        assert uploads.bytes == 60
        with pytest.raises(PublicError) as refused, uploads.reserve(ANONYMOUS, 41):
            pass
        assert (refused.value.status, refused.value.code) == (503, "queue_full")
        assert refused.value.details["retry_after"] == 7
        with uploads.reserve(ANONYMOUS, 40):
            pass
    assert uploads.bytes == 0


def test_bytes_of_an_unknown_length_count_as_they_come() -> None:
    uploads = space(100)
    with uploads.reserve(ANONYMOUS, 0) as first:
        assert sent(first, 40, 40) == 80
        with (
            uploads.reserve(ANONYMOUS, 0) as second,
            pytest.raises(PublicError, match="of the 100"),
        ):
            sent(second, 10, 10, 10)
        assert uploads.bytes == 80
    assert uploads.bytes == 0


def test_a_body_takes_no_more_than_its_document_can_have() -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(40)

    async def receive(reservation: Reservation) -> None:
        async for _ in reservation.counted(body(), most=120):
            pass

    uploads = space(120)
    with uploads.reserve(ANONYMOUS, 100) as base64:
        asyncio.run(receive(base64))
        assert uploads.bytes == 120
    assert uploads.bytes == 0


def test_one_client_leaves_room_for_others() -> None:
    uploads = space(100)
    with uploads.reserve("greedy", 40), uploads.reserve("greedy", 0) as growing:
        assert sent(growing, 35) == 35
        with pytest.raises(PublicError, match="75 of them this client's"):
            sent(growing, 36)
        with pytest.raises(PublicError), uploads.reserve("greedy", 1):
            pass
        with uploads.reserve("newcomer", 20), uploads.reserve("newcomer", 5):
            assert uploads.bytes == 100
        assert uploads.bytes == 75
    assert uploads.bytes == 0


def test_an_only_upload_needs_no_more_than_what_is_free() -> None:
    uploads = space(100)
    with uploads.reserve("one", 100), pytest.raises(PublicError), uploads.reserve("other", 1):
        pass
    with uploads.reserve("one", 0) as growing:
        assert sent(growing, 60, 40) == 100
    assert uploads.bytes == 0


def test_a_budget_leaves_half_of_the_disk_and_lets_the_largest_upload_in() -> None:
    assert upload_budget(wanted=100, largest=10, free=1000) == 100
    assert upload_budget(wanted=100, largest=10, free=50) == 25
    assert upload_budget(wanted=100, largest=10, free=5) == 10
