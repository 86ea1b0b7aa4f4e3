"""Reading startup documents from pods that behave, and from pods that do not."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ocr_operator.core.observed import Key
from ocr_operator.core.plan import Scrape
from ocr_operator.runtime import scrape as scrape_module
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.scrape import BODY_LIMIT_BYTES, Scraper, open_session
from ocr_operator.startup.sample import DocumentState

KEY = Key("team-a", "invoices")
EXAMPLES = Path(__file__).parents[2] / "contract" / "examples" / "startup.v1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def document(name: str, **changes: Any) -> dict[str, Any]:
    return {**json.loads((EXAMPLES / f"{name}.json").read_text()), **changes}


def answering(*documents: dict[str, Any], status: int = 503) -> Handler:
    """One document after another; the last one stays."""
    waiting = list(documents)

    async def handle(_: web.Request) -> web.Response:
        body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return web.json_response(body, status=status)

    return handle


@dataclass
class Stage:
    scraper: Scraper
    port: int
    changed: list[Key]
    asked: list[float] = field(default_factory=list)

    def want(self, *containers: str, after: float = 0.0, alive: tuple[str, ...] = ()) -> None:
        due = datetime.now(UTC) + timedelta(seconds=after)
        scrapes = [Scrape(container, "127.0.0.1", self.port, due) for container in containers]
        self.scraper.schedule(KEY, scrapes, {*containers, *alive})

    async def until(self, what: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not what():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def read_once(self) -> Any:
        self.want("a")
        await self.until(lambda: "a" in self.scraper.readings)
        return self.scraper.readings["a"]


@asynccontextmanager
async def a_pod(handle: Handler, within: float = 20.0) -> AsyncIterator[Stage]:
    asked: list[float] = []

    async def counted(request: web.Request) -> web.StreamResponse:
        asked.append(asyncio.get_running_loop().time())
        return await handle(request)

    application = web.Application()
    application.router.add_get("/{path:.*}", counted)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    changed: list[Key] = []
    scraper = Scraper(changed.append, Metrics(), lambda: datetime.now(UTC), within)
    async with open_session() as session:
        tasks = [asyncio.ensure_future(scraper.run(session)) for _ in range(4)]
        try:
            yield Stage(scraper, runner.addresses[0][1], changed, asked)
        finally:
            scraper.queue.close()
            await asyncio.gather(*tasks)
            await runner.cleanup()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "status", "state"),
    [
        ("loading", 503, DocumentState.LOADING),
        ("ready", 200, DocumentState.READY),
        ("failed", 200, DocumentState.FAILED),
    ],
)
async def test_the_document_is_read_whatever_the_status(
    name: str, status: int, state: DocumentState
) -> None:
    async with a_pod(answering(document(name), status=status)) as stage:
        reading = await stage.read_once()
    assert reading.document.state is state
    assert (reading.problem, reading.failures) == ("", 0)
    assert stage.changed == [KEY]


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(5)
    return web.json_response({})


async def trickling(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(50):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


async def huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1000):
        await response.write(b"x" * BODY_LIMIT_BYTES)
    return response


async def redirecting(_: web.Request) -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def hanging_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def saying(text: str, status: int = 200) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return handle


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("handle", "problem"),
    [
        (slow, "no answer within 0.5 s"),
        (trickling, "no answer within 0.5 s"),
        (huge, "more than 65536 bytes"),
        (redirecting, "HTTP 302 from /startupz"),
        (hanging_up, "ServerDisconnectedError"),
        (saying("Not Found", 404), "HTTP 404 from /startupz"),
        (saying("<html>"), "not a startup document"),
        (saying("[]"), "not a startup document"),
        (saying("null"), "not a startup document"),
        (saying('{"schemaVersion": 2}'), "not a startup document"),
        (saying("[" * 30_000), "not a startup document|nested too deeply"),
    ],
)
async def test_what_is_no_document_is_a_problem_in_one_sentence(
    handle: Handler, problem: str
) -> None:
    # Where the time is not what is tested, a busy machine may take long.
    within = 0.5 if handle in (slow, trickling) else 20.0
    async with a_pod(handle, within) as stage:
        reading = await stage.read_once()
        assert re.search(problem, reading.problem)
        assert (reading.document, reading.failures) == (None, 1)
        assert stage.changed == [KEY]
        # aiohttp asks once more when a connection is closed without an answer.
        assert len(stage.asked) == (2 if handle is hanging_up else 1)


@pytest.mark.asyncio
async def test_a_pod_that_is_not_there_is_a_problem() -> None:
    async with a_pod(answering(document("ready"))) as stage:
        stage.port = 1
        reading = await stage.read_once()
    assert "ClientConnectorError" in reading.problem


@pytest.mark.asyncio
async def test_failures_in_a_row_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape_module, "SHORTEST_INTERVAL_SECONDS", 0.0)
    async with a_pod(saying("")) as stage:
        for failures in (1, 2, 3):
            stage.want("a")
            await stage.until(lambda n=failures: len(stage.changed) == n)
            assert stage.scraper.readings["a"].failures == failures


@pytest.mark.asyncio
async def test_a_container_that_goes_on_loading_is_read_on_without_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scrape_module, "SHORTEST_INTERVAL_SECONDS", 0.0)
    phases = [[{"name": "load", "seconds": s, "state": "running"}] for s in range(4)]
    loading = [document("loading", phases=phase) for phase in phases]
    async with a_pod(answering(*loading, document("ready"))) as stage:
        await stage.read_once()
        stage.want("a", after=0.05)
        await stage.until(lambda: len(stage.changed) == 2)
        assert stage.scraper.readings["a"].document.state is DocumentState.READY
        await asyncio.sleep(0.3)
        assert len(stage.asked) == 5


@pytest.mark.asyncio
async def test_a_container_is_not_read_more_often_than_once_a_second() -> None:
    async with a_pod(answering(document("loading"))) as stage:
        await stage.read_once()
        for _ in range(50):
            stage.want("a")
            await asyncio.sleep(0.005)
        assert len(stage.asked) == 1


@pytest.mark.asyncio
async def test_one_container_is_asked_once_at_a_time() -> None:
    async with a_pod(slow, 0.5) as stage:
        for _ in range(20):
            stage.want("a")
            await asyncio.sleep(0.01)
        await stage.until(lambda: "a" in stage.scraper.readings)
        assert len(stage.asked) == 1


@pytest.mark.asyncio
async def test_a_container_nobody_asks_for_is_read_no_more_but_remembered_while_it_lives() -> None:
    async with a_pod(answering(document("loading"))) as stage:
        await stage.read_once()
        stage.want(alive=("a",))
        assert stage.scraper.queue.scheduled() == 0
        assert "a" in stage.scraper.readings
        stage.want()
        assert "a" not in stage.scraper.readings
        assert stage.scraper._by_key == {}
        assert stage.scraper._targets == {}


@pytest.mark.asyncio
async def test_an_answer_that_comes_after_the_container_is_gone_is_not_kept() -> None:
    async with a_pod(slow, 0.5) as stage:
        stage.want("a")
        await stage.until(lambda: stage.asked)
        stage.want()
        await stage.until(lambda: stage.scraper.queue.in_work() == 0)
        assert stage.scraper.readings == {}
        assert stage.changed == []


@pytest.mark.asyncio
async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with a_pod(answering(document("ready"))) as stage:
        assert (await stage.read_once()).problem == ""
