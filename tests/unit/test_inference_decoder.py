"""A decoder that hangs on a document: what it costs that document, and what the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ocr_inference.engine import decoder as module
from ocr_inference.engine.decoder import Decoder, DecoderHung
from ocr_inference.errors import PublicError
from ocr_inference.metrics import Metrics
from ocr_inference.reading.admission import Admission
from ocr_inference.reading.dispatch import Dispatcher
from ocr_inference.reading.queue import PageOutcome, PageWork
from ocr_inference.workspace import Workspace

HANGS = Path("hangs.pdf")
HANGS_ONCE = Path("hangs-once.pdf")
GOOD = Path("good.pdf")


class Child:
    """Decodes at once, or never."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.calls: list[str] = []

    async def attach(self, on_event: object, on_end: object) -> None:
        pass

    async def end(self) -> None:
        self.lost.set()

    async def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        self.calls.append(op)
        name, number = Path(arguments["path"]).name, arguments.get("number", 2)
        if (name == HANGS.name and number >= 2) or (name == HANGS_ONCE.name and number == 3):
            await asyncio.Event().wait()
        if op == "inspect":
            return {
                "media_type": "application/pdf",
                "page_count": 1,
                "page_numbers": [1],
                "pixels": [1],
            }
        return {"height": 1, "width": 1, "dpi": 72, "rotation": 0}


class Engine:
    load_seconds = 0.0

    def __init__(self) -> None:
        self.size = self.ready = 1

    async def take(self) -> Engine:
        return self

    def give_back(self, engine: Engine) -> None:
        pass

    async def read(self, *_page: object) -> dict[str, Any]:
        return {"blocks": []}


class Stage:
    def __init__(self) -> None:
        self.children: list[Child] = []
        self.replaced: list[str] = []
        self.decoder = Decoder(self._spawn, self.replaced.append)  # type: ignore[arg-type]

    def _spawn(self) -> Child:
        self.children.append(Child())
        return self.children[-1]


def run(scenario: Callable[[Stage], Awaitable[None]]) -> Stage:
    async def go() -> Stage:
        stage = Stage()
        await scenario(stage)
        return stage

    return asyncio.run(go())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DECODE_DEADLINE_S", 0.3)
    monkeypatch.setattr(module, "SUSPECT_DECODE_S", 0.3)
    monkeypatch.setattr(module, "LEAST_DECODE_S", 0.1)


def dispatched(folder: Path, *pages: tuple[Path, int]) -> tuple[Stage, dict[str, list[str]], float]:
    """What becomes of the pages of documents, and how many seconds it took."""
    outcomes: dict[str, list[str]] = {}
    took = 0.0

    async def scenario(stage: Stage) -> None:
        nonlocal took
        workspace = Workspace(folder)
        dispatcher = Dispatcher(
            workspace, stage.decoder, Engine(), Admission(99, 10**9), Metrics("1", "scripted")  # type: ignore[arg-type]
        )  # fmt: skip
        works = [work(path, number) for path, count in pages for number in range(1, count + 1)]
        for one in works:
            dispatcher.put(one)
        began = time.monotonic()
        running = asyncio.create_task(dispatcher.run())
        await asyncio.wait([one.outcome for one in works], timeout=5)
        took = time.monotonic() - began
        running.cancel()
        await asyncio.wait([running])
        workspace.close()
        for one in works:
            outcomes.setdefault(one.path.name, []).append(told(one.outcome))

    return run(scenario), outcomes, took


def test_a_page_that_hangs_costs_its_document_that_page_alone(tmp_path: Path) -> None:
    stage, outcomes, _ = dispatched(tmp_path, (HANGS_ONCE, 10))
    assert outcomes["hangs-once.pdf"] == [
        *["ok"] * 2,
        "Page 3 was not decoded in 0 s.",
        *["ok"] * 7,
    ]
    assert stage.replaced == ["hung"]


def test_a_document_that_hangs_again_is_given_up_and_others_go_on(tmp_path: Path) -> None:
    stage, outcomes, took = dispatched(tmp_path, (HANGS, 10), (GOOD, 3))
    assert outcomes["good.pdf"] == ["ok"] * 3
    first, *hung = outcomes["hangs.pdf"]
    assert first == "ok"
    assert hung[:2] == [f"Page {number} was not decoded in 0 s." for number in (2, 3)]
    assert hung[2:] == ["Not tried: the decoder hung on this file 2 times before."] * 7
    assert stage.replaced == ["hung"] * 2
    assert took < 2  # two hangs, not nine


def test_a_decoder_has_no_longer_than_the_request() -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(PublicError) as late:
            await stage.decoder.inspect("x", HANGS, None, 200, time.monotonic() + 0.2)
        assert (late.value.status, late.value.code) == (504, "deadline_exceeded")
        assert not isinstance(late.value, DecoderHung)
        assert (
            await stage.decoder.inspect("x", GOOD, None, 200, time.monotonic() + 9)
        ).page_count == 1

    assert run(scenario).replaced == ["deadline"]


def test_a_document_whose_time_is_up_is_not_begun() -> None:
    async def scenario(stage: Stage) -> None:
        with pytest.raises(PublicError, match="deadline"):
            await stage.decoder.inspect("x", GOOD, None, 200, time.monotonic() - 1)

    assert run(scenario).children == []


def test_an_impatient_client_does_not_cost_a_child() -> None:
    async def scenario(stage: Stage) -> None:
        # Decoded in its least time, though the client's is over by then.
        found = await stage.decoder.inspect("x", GOOD, None, 200, time.monotonic() + 0.001)
        assert found.page_count == 1
        began = time.monotonic()
        with pytest.raises(PublicError):
            await stage.decoder.inspect("x", HANGS, None, 200, began + 0.001)
        assert time.monotonic() - began >= 0.1

    assert len(run(scenario).children) == 1


def test_documents_that_hang_cost_another_client_one_hang() -> None:
    async def scenario(stage: Stage) -> None:
        deadline = time.monotonic() + 60
        hanging = [
            asyncio.create_task(
                stage.decoder.inspect("x", Path(str(number)) / HANGS, None, 200, deadline)
            )
            for number in range(9)
        ]
        await asyncio.sleep(0)
        hanging[3].cancel()  # one that leaves has its turn all the same
        assert (await stage.decoder.inspect("y", GOOD, None, 200, deadline)).page_count == 1
        assert len(stage.replaced) == 1
        await stage.decoder.render("y", GOOD, 1, 72, Path("out"), deadline)
        assert len(stage.replaced) == 2
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)

    run(scenario)


def test_a_client_that_hung_the_decoder_has_less_time_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "DECODE_DEADLINE_S", 1.0)
    monkeypatch.setattr(module, "SUSPECT_DECODE_S", 0.1)
    monkeypatch.setattr(module, "SUSPECT_FOR_S", 0.5)

    async def scenario(stage: Stage) -> None:
        documents = (Path(str(number)) / HANGS for number in count())

        async def hang(client: str) -> float:
            began = time.monotonic()
            with pytest.raises(DecoderHung):
                await stage.decoder.inspect(client, next(documents), None, 200, began + 60)
            return time.monotonic() - began

        assert await hang("x") >= 1.0
        assert await hang("x") < 0.9
        assert await hang("y") >= 1.0  # another client, and x' time is over
        assert await hang("x") >= 1.0

    run(scenario)


def test_a_decoder_is_replaced_after_so_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECYCLE_CALLS", 2)

    async def scenario(stage: Stage) -> None:
        for _ in range(5):
            await stage.decoder.inspect("x", GOOD, None, 200, time.monotonic() + 9)

    stage = run(scenario)
    assert [len(child.calls) for child in stage.children] == [2, 2, 1]
    assert [child.lost.is_set() for child in stage.children] == [True, True, False]
    assert stage.replaced == []  # nothing went wrong


def work(path: Path, number: int) -> PageWork:
    return PageWork(
        client="x",
        request=path.name,
        path=path,
        number=number,
        dpi=72,
        languages=(),
        queued_at=time.monotonic(),
        deadline=time.monotonic() + 60,
        outcome=asyncio.get_running_loop().create_future(),
    )


def told(outcome: asyncio.Future[PageOutcome]) -> str:
    error = outcome.exception()
    return error.message if isinstance(error, PublicError) else "ok"
