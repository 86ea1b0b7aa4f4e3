"""The parts of the VLM server's client: slots, tries, answers, the key."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from ocr_inference.engine.plan import VlmBlock, most_tokens, readable
from ocr_inference.metrics import Metrics
from ocr_inference.settings import Settings
from ocr_inference.vlm import blocks as vlm_blocks
from ocr_inference.vlm import client as vlm_client
from ocr_inference.vlm import key as vlm_key
from ocr_inference.vlm.blocks import BlockReader, BlockReading
from ocr_inference.vlm.client import Reply, VlmClient
from ocr_inference.vlm.key import KeyFile
from ocr_inference.vlm.pool import LEAST_PAGE_BLOCKS, BlockPool, PageRoom
from ocr_inference.vlm.retry import UNREACHABLE, VlmError, wait_of, waits
from ocr_inference.vlm.service import served_name

BLOCK = VlmBlock(0, 0, "OCR:", 100, 1, 2)


async def turns() -> None:
    """Let everybody else go on."""
    for _ in range(10):
        await asyncio.sleep(0)


class Blocks:
    """Blocks that take a slot and hold it until they are told to end."""

    def __init__(self, pool: BlockPool) -> None:
        self.pool = pool
        self.running: list[str] = []
        self.began: list[str] = []

    def start(self, *names: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._run(name), name=name) for name in names]

    async def end(self, *tasks: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await turns()

    async def _run(self, name: str) -> None:
        async with self.pool.slot(name[0]):
            self.running.append(name)
            self.began.append(name)
            try:
                await asyncio.sleep(3600)
            finally:
                self.running.remove(name)


def test_a_page_of_many_blocks_delays_another_by_one() -> None:
    async def run() -> list[str]:
        blocks = Blocks(BlockPool(2))
        tasks = blocks.start("a1", "a2", "a3", "a4", "a5")
        await turns()
        tasks += blocks.start("b1", "b2")
        for _ in range(len(tasks)):
            await turns()
            assert len(blocks.running) <= 2
            await blocks.end(next(t for t in tasks if t.get_name() == blocks.running[0]))
        return blocks.began

    assert asyncio.run(run()) == ["a1", "a2", "a3", "b1", "a4", "b2", "a5"]


def test_slots_of_blocks_that_are_given_up_are_free_again() -> None:
    async def run() -> None:
        blocks = Blocks(BlockPool(1))
        first, waiting, last = blocks.start("a1", "a2", "b1")
        await turns()
        await blocks.end(waiting)  # never had a slot
        await blocks.end(first)
        assert blocks.running == ["b1"]
        # Granted and given up in the same turn of the loop.
        (next_one,) = blocks.start("c1")
        await turns()
        last.cancel()
        await asyncio.sleep(0)
        next_one.cancel()
        await turns()
        (after,) = blocks.start("d1")
        await turns()
        assert blocks.running == ["d1"]
        await blocks.end(after)

    asyncio.run(run())


def test_pages_are_let_in_until_enough_blocks_wait() -> None:
    async def run() -> None:
        room = PageRoom(8)
        let_in: list[str] = []

        async def page(name: str, blocks: int, ends: asyncio.Event) -> None:
            async with room.page() as share:
                let_in.append(name)
                share.needs(blocks)
                await ends.wait()
                share.needs(0)
                await asyncio.sleep(3600)

        answered = asyncio.Event()
        tasks = [
            asyncio.create_task(page("large", 100, answered)),
            asyncio.create_task(page("next", 1, asyncio.Event())),
        ]
        await turns()
        assert let_in == ["large"]
        answered.set()  # its blocks are answered: the next page's may come before it is finished
        await turns()
        assert let_in == ["large", "next"]
        assert room.now == 2
        for task in tasks:
            task.cancel()
        await turns()
        assert room.now == 0

    asyncio.run(run())
    assert PageRoom(8).pages == 2 * 8 / LEAST_PAGE_BLOCKS
    assert PageRoom(1).pages >= 2  # one is planned while the other is read


def test_pauses_double_and_differ() -> None:
    pauses = [list(waits()) for _ in range(20)]
    for base, column in zip((0.5, 1, 2), zip(*pauses, strict=True), strict=True):
        assert all(base * 0.75 <= pause <= base * 1.25 for pause in column)
        assert len(set(column)) > 1


def test_retry_after_is_seconds_or_a_date() -> None:
    assert wait_of({"retry-after": " 7.5 "}) == 7.5
    assert wait_of({"retry-after": "-1"}) == 0
    assert wait_of({"retry-after": formatdate(time.time() + 60)}) == pytest.approx(60, abs=5)
    assert wait_of({"retry-after": "soon"}) is None
    assert wait_of({"retry-after": "inf"}) == wait_of({"retry-after": "86400"}) == 300
    assert wait_of({}) is None


class Server:
    """A client whose calls end as they are told to."""

    def __init__(self, *ends: Reply | Exception | float) -> None:
        self.ends = list(ends)
        self.temperatures: list[float] = []

    async def read(self, _block: VlmBlock, _picture: str, temperature: float) -> Reply:
        self.temperatures.append(temperature)
        end = self.ends.pop(0)
        if isinstance(end, float):
            await asyncio.sleep(end)
            raise AssertionError("was not stopped")
        if isinstance(end, Exception):
            raise end
        return end


def read(server: Server, timeout: float = 60.0) -> BlockReading:
    reader = BlockReader(server, timeout, Metrics("1", "scripted"))  # type: ignore[arg-type]
    return asyncio.run(reader.read(BLOCK, "data:"))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that are made; none takes time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(vlm_blocks.asyncio, "sleep", sleep)
    return made


@pytest.mark.parametrize("status", [UNREACHABLE, 408, 409, 429, 500, 503, 529])
def test_what_may_pass_is_tried_four_times(pauses: list[float], status: int) -> None:
    server = Server(*[VlmError(status, "No.")] * 3, Reply("yes", 0.5))
    assert read(server).answer.text == "yes"
    assert len(pauses) == 3
    with pytest.raises(VlmError):
        read(Server(*[VlmError(status, "No.")] * 4))


@pytest.mark.parametrize("status", [302, 400, 401, 404, 413, 422])
def test_what_cannot_pass_is_not_tried_again(pauses: list[float], status: int) -> None:
    with pytest.raises(VlmError):
        read(Server(VlmError(status, "No.")))
    assert pauses == []


def test_the_server_says_how_long_to_wait(pauses: list[float]) -> None:
    read(Server(VlmError(429, "No.", wait=3.0), Reply("yes", None)))
    assert pauses == [3.0]
    with pytest.raises(VlmError):
        read(Server(VlmError(503, "No.", wait=31.0)))
    assert pauses == [3.0]


def test_a_block_has_one_deadline_for_all_tries() -> None:
    with pytest.raises(VlmError, match=r"did not read a block in 0\.05 s") as caught:
        read(Server(60.0), timeout=0.05)
    assert not caught.value.of_server


def test_of_two_loops_the_longer_text_is_kept() -> None:
    server = Server(Reply("a", 0.9, repeated=True), Reply("a b c", 0.4, repeated=True))
    reading = read(server)
    assert (reading.answer.text, reading.answer.confidence) == ("a b c", 0.4)
    assert reading.cut == "repetition_truncated"
    assert server.temperatures[0] == 0 < server.temperatures[1]


def reply_to(chunks: Sequence[dict[str, Any]], block: VlmBlock = BLOCK) -> Reply:
    async def stream() -> AsyncIterator[dict[str, Any]]:
        for chunk in chunks:
            yield chunk

    client = VlmClient("http://x/v1", "m", KeyFile(Path("/nowhere")), Metrics("1", "scripted"))
    return asyncio.run(client._reply(block, stream()))


def chunk(text: str, *logprobs: tuple[str, float], finish: str | None = None) -> dict[str, Any]:
    entries = [{"token": token, "logprob": logprob} for token, logprob in logprobs]
    return {
        "choices": [
            {
                "delta": {"content": text},
                "logprobs": {"content": entries} if entries else None,
                "finish_reason": finish,
            }
        ]
    }


def chunks_of(*pieces: bytes) -> list[dict[str, Any]]:
    async def arrive() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    async def collect() -> list[dict[str, Any]]:
        return [chunk async for chunk in vlm_client._chunks(arrive())]

    return asyncio.run(collect())


def test_events_are_told_apart_wherever_the_network_cuts_them() -> None:
    stream = b': a comment\n\ndata: {"n": 1}\r\n\r\ndata:{"n": "\xc3\xa9"}\n\ndata: [DONE]\n\n'
    expected = [{"n": 1}, {"n": "é"}]
    assert chunks_of(stream) == expected
    assert chunks_of(*[stream[at : at + 1] for at in range(len(stream))]) == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"data: {\n", "malformed"),
        (b'data: "\xff"\n', "malformed"),
        (b"data: []\n", "failed in the middle"),
        (b'data: {"error": {"message": "no memory"}}\n', "failed in the middle"),
    ],
)
def test_an_event_that_is_no_chunk_fails_the_block(data: bytes, message: str) -> None:
    with pytest.raises(VlmError, match=message):
        chunks_of(data)


def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlm_client, "LONGEST_EVENT_BYTES", 100)
    with pytest.raises(VlmError, match="malformed"):
        chunks_of(b"data: ", *[b"x" * 50] * 3, b"\n")


def test_confidence_is_the_geometric_mean_over_all_tokens() -> None:
    # log 0.25 and log 1.0 make 0.5; several tokens may come in one chunk.
    reply = reply_to([chunk("ab", ("a", -1.386294), ("b", 0.0), finish="stop")])
    assert (reply.text, reply.too_long) == ("ab", False)
    assert reply.confidence == pytest.approx(0.5)


def test_a_probability_of_nothing_and_no_number_are_survived() -> None:
    reply = reply_to([chunk("a", ("a", float("nan"))), chunk("b", ("b", -9999.0), finish="stop")])
    assert (reply.text, reply.confidence) == ("ab", 0.0)
    assert reply_to([chunk("a", finish="length")]) == Reply("a", None, too_long=True)


def test_the_text_is_the_servers_where_its_tokens_are_parts_of_characters() -> None:
    reply = reply_to([chunk("é", ("\ufffd", -0.1), ("\ufffd", -0.1), finish="stop")])
    assert reply.text == "é"


def test_an_answer_without_an_end_is_none() -> None:
    with pytest.raises(VlmError, match="broke off"):
        reply_to([chunk("half of")])


def test_a_loop_ends_the_answer_before_its_stream() -> None:
    def endless() -> list[dict[str, Any]]:
        return [chunk("Once"), *[chunk(" again", (" again", -0.1))] * 100]

    reply = reply_to(endless())
    assert (reply.text, reply.repeated) == ("Once again", True)


def test_the_key_is_read_anew_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vlm_key, "_CHECK_EVERY_S", 0.0)
    key, file = KeyFile(tmp_path), tmp_path / "api-key"
    assert key.current() is None
    file.write_text("one\n")
    assert key.current() == "one"
    other = tmp_path / "next"
    other.write_text("two")
    other.replace(file)
    assert key.current() == "two"
    file.write_bytes(b"\xff\xfe broken")
    os.utime(file, (1, 1))
    assert key.current() == "two"
    file.unlink()
    assert key.current() is None


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"model": "paddleocr-vl"}, "PaddleOCR-VL-1.6-0.9B"),
        ({"model": "paddleocr-vl", "model_version": "1.0"}, "PaddleOCR-VL-0.9B"),
        ({"model": "paddleocr-vl", "model_version": "9"}, "paddleocr-vl"),
        ({"model": "paddleocr-vl", "vlm_model": "mine"}, "mine"),
        ({"model": "scripted"}, "scripted"),
    ],
)
def test_the_server_is_asked_for_the_models_own_name(settings: dict[str, str], name: str) -> None:
    assert served_name(Settings(**settings)) == name  # type: ignore[arg-type]


def test_tokens_are_bounded_by_the_area_and_rulings_are_not_read() -> None:
    assert [most_tokens(*size) for size in ((8, 8), (800, 80), (5000, 5000))] == [257, 1256, 4096]
    assert readable(200, 1)
    assert not readable(201, 1)
    assert not readable(10, 0)
