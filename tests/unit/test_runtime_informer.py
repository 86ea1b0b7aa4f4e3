"""kopf as the informer, against a server that does what a real one does only on bad days."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_api import (
    FakeApi,
    Watching,
    configuration_for,
    fake_api,
    listing,
    path,
    serve_the_kinds,
)
from kube_objects import deployment, ocr_service, pod

from ocr_operator.core.observed import ChildKind, Key
from ocr_operator.runtime import handlers
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.connection import Login
from ocr_operator.runtime.handlers import Watched, watched_kinds
from ocr_operator.runtime.informer import inform
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.runtime.watches import WatchMonitor
from ocr_operator.runtime.workqueue import WorkQueue
from ocr_operator.settings import Settings

KEY = Key("team-a", "invoices")
GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}


@dataclass
class Stage:
    fake: FakeApi
    cache: Cache
    queue: WorkQueue[Key]
    monitor: WatchMonitor
    kinds: tuple[Watched, ...]
    taken: list[Key] = field(default_factory=list)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not what():
                await asyncio.sleep(0.01)
                if (key := self.queue.take()) is not None:
                    self.taken.append(key)
                    self.queue.done(key)


@asynccontextmanager
async def informing(fake: FakeApi, namespaces: str = "") -> AsyncIterator[Stage]:
    settings = Settings(namespace="ocr-system", watch_namespaces=namespaces)  # type: ignore[arg-type]
    cache, queue = Cache(), WorkQueue[Key]()

    async def never(_: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("nothing is written here")

    kinds = watched_kinds(cache, ProfileStore("ocr-system", never), settings)

    def swept(plural: str, namespace: str | None, since: float) -> None:
        [kind] = [kind for kind in kinds if kind.plural == plural]
        for key in kind.sweep(since, namespace):
            queue.add(key)

    monitor = WatchMonitor(swept)
    login = Login(configuration_for(fake), monitor)
    stop = asyncio.Event()
    task = asyncio.ensure_future(
        inform(kinds, settings.watched, queue, monitor, login, stop, lambda: None)
    )
    try:
        yield Stage(fake, cache, queue, monitor, kinds)
    finally:
        stop.set()
        await task


@pytest.mark.asyncio
async def test_what_is_there_is_remembered_and_its_service_looked_at() -> None:
    with fake_api() as fake:
        serve_the_kinds(fake)
        fake.script(path("ocrservices"), listing(ocr_service()))
        fake.script(path("deployments"), listing(deployment()))
        fake.script(path("pods"), listing(pod()))
        async with informing(fake) as stage:
            await stage.until(stage.monitor.filled.is_set)
            assert stage.cache.service(KEY) is not None
            assert len(stage.cache.children[ChildKind.DEPLOYMENT]) == len(stage.cache.pods) == 1
            assert set(stage.taken) == {KEY}
        assert {asked.method for asked in fake.asked} == {"GET"}


@pytest.mark.asyncio
async def test_the_work_waits_for_an_object_that_comes_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A status written before would say that there are no pods."""
    at_once = handlers._seen

    async def late(kind: Watched, *rest: Any, **event: Any) -> None:
        await asyncio.sleep(1 if kind.plural == "pods" else 0)
        await at_once(kind, *rest, **event)

    monkeypatch.setattr(handlers, "_seen", late)
    with fake_api() as fake:
        serve_the_kinds(fake)
        fake.script(path("ocrservices"), listing(ocr_service()))
        fake.script(path("pods"), listing(pod()))
        async with informing(fake) as stage:
            await stage.until(stage.monitor.filled.is_set)
            assert len(stage.cache.pods) == 1


@pytest.mark.asyncio
async def test_a_change_right_after_the_listing_does_not_replace_what_was_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If kopf handed over the newest event alone, the listing would never be all handled."""
    types: list[str | None] = []
    at_once = handlers._seen

    async def noting(kind: Watched, *rest: Any, type: str | None, **event: Any) -> None:
        await at_once(kind, *rest, type=type, **event)
        types.append(type)

    monkeypatch.setattr(handlers, "_seen", noting)
    with fake_api() as fake:
        serve_the_kinds(fake)
        fake.script(path("pods"), listing(pod()))
        changes = ({"type": "MODIFIED", "object": pod(version=n)} for n in (101, 102))
        fake.watch(path("pods"), Watching(tuple(changes)))
        async with informing(fake) as stage:
            await stage.until(lambda: len(types) == 3 and stage.monitor.filled.is_set())
    assert types == [None, "MODIFIED", "MODIFIED"]


@pytest.mark.asyncio
async def test_the_api_server_selects_what_is_ours() -> None:
    with fake_api() as fake:
        serve_the_kinds(fake)
        async with informing(fake, "team-a") as stage:
            await stage.until(stage.monitor.all_listed)
    asked = {asked.path: asked.query for asked in fake.asked if "watch" in asked.query}
    ours = "app.kubernetes.io/managed-by=ocr-operator"
    for namespace in ("team-a", "ocr-system"):
        for plural in ("pods", "services", "deployments"):
            assert asked[path(plural, namespace)]["labelSelector"] == ours
        profiles = asked[path("ocrstartupprofiles", namespace)]
        assert profiles["fieldSelector"] == "metadata.namespace=ocr-system"
        assert "labelSelector" not in asked[path("ocrservices", namespace)]
        assert asked[path("ocrservices", namespace)]["allowWatchBookmarks"] == "true"


@pytest.mark.asyncio
async def test_a_deleted_object_is_forgotten_and_its_service_looked_at() -> None:
    with fake_api() as fake:
        serve_the_kinds(fake)
        fake.script(path("deployments"), listing(deployment()))
        deleted = {"type": "DELETED", "object": deployment(version=2)}
        fake.watch(path("deployments"), Watching((deleted,)))
        async with informing(fake) as stage:
            store = stage.cache.children[ChildKind.DEPLOYMENT]
            await stage.until(lambda: bool(stage.taken) and len(store) == 0)


@pytest.mark.asyncio
async def test_what_vanished_while_the_watch_was_away_is_forgotten() -> None:
    """kopf alone would keep it for ever: the new listing does not show it, nor does an event."""
    with fake_api() as fake:
        serve_the_kinds(fake)
        kept = deployment(uid="kept", name="kept")
        fake.script(path("deployments"), listing(deployment(), kept), listing(kept))
        fake.watch(path("deployments"), Watching((GONE,), end=True))
        async with informing(fake) as stage:
            store = stage.cache.children[ChildKind.DEPLOYMENT]
            await stage.until(lambda: len(store) == 2)
            stage.taken.clear()
            await stage.until(lambda: len(store) == 1 and KEY in stage.taken)
            assert store.keys() == [Key("team-a", "kept")]


@pytest.mark.asyncio
async def test_a_stream_that_breaks_off_is_resumed_where_it_was() -> None:
    with fake_api() as fake:
        serve_the_kinds(fake)
        event = {"type": "ADDED", "object": ocr_service(version=123)}
        fake.watch(path("ocrservices"), Watching((event,), end=True))
        async with informing(fake) as stage:
            resumed = lambda: fake.methods(path("ocrservices")).count("WATCH") >= 2  # noqa: E731
            await stage.until(resumed)
            assert fake.methods(path("ocrservices")).count("GET") == 1
            await stage.until(lambda: stage.cache.service(KEY) is not None)
    asked = [asked for asked in fake.asked if asked.path == path("ocrservices")]
    assert asked[-1].query["resourceVersion"] == "123"
