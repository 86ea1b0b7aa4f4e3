"""The watches as their requests show them: signs of life, readiness, new listings."""

from __future__ import annotations

import pytest
from fake_api import Clock
from yarl import URL

from ocr_operator.runtime.health import STUCK_KEY_SECONDS, Health
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.watches import SILENT_SECONDS, WatchMonitor, watch_of
from ocr_operator.runtime.workqueue import WorkQueue

PODS = "https://api.test/api/v1/pods?limit=500"
PODS_WATCH = "https://api.test/api/v1/pods?watch=true&resourceVersion=7"


class Stage:
    def __init__(self) -> None:
        self.clock = Clock()
        self.swept: list[tuple[str, str | None, float]] = []
        self.monitor = WatchMonitor(lambda *swept: self.swept.append(swept), self.clock)
        self.monitor.expect(("pods", None))

    def ask(self, url: str, status: int = 200, objects: int = 0) -> None:
        self.monitor.request_started(URL(url))
        self.clock.pass_(1)
        self.monitor.request_answered(URL(url), status)
        if "watch" not in url:
            self.monitor.page_read(URL(url), objects)

    def handle(self, objects: int) -> None:
        for _ in range(objects):
            self.monitor.event_handled(initial=True)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize(
    ("path", "watch"),
    [
        ("/api/v1/pods", ("pods", None)),
        ("/api/v1/namespaces/team-a/pods", ("pods", "team-a")),
        ("/apis/apps/v1/deployments", ("deployments", None)),
        ("/apis/apps/v1/namespaces/a/deployments", ("deployments", "a")),
        ("/k8s/clusters/c-1/api/v1/pods", ("pods", None)),
        ("/k8s/clusters/c-1/api/v1/namespaces/api/pods", ("pods", "api")),
        ("/api/c-1/apis/apps/v1/deployments", ("deployments", None)),
        ("/api/c-1/apis/apps/v1/namespaces/apis/deployments", ("deployments", "apis")),
        ("/apis/apps/v1", None),
        ("/version", None),
        ("/api/v1/namespaces/a/pods/x/log", None),
    ],
)
def test_a_path_tells_which_watch_it_is(path: str, watch: tuple[str, str | None] | None) -> None:
    assert watch_of(URL("https://api.test").with_path(path)) == watch


def test_the_cache_is_filled_when_the_watch_begins(stage: Stage) -> None:
    assert not stage.monitor.all_listed()
    stage.ask(PODS)
    assert stage.monitor.missing() == ["pods in all namespaces"]
    stage.ask(PODS_WATCH)
    assert stage.monitor.all_listed()


def test_without_any_watch_nothing_is_ready() -> None:
    assert not WatchMonitor(lambda *_: None).all_listed()


def test_a_watch_that_is_refused_has_not_begun(stage: Stage) -> None:
    stage.ask(PODS, 403)
    stage.ask(PODS_WATCH, 403)
    assert not stage.monitor.all_listed()


def test_a_new_listing_is_swept_from_its_first_page_on(stage: Stage) -> None:
    began = stage.clock()
    stage.ask(PODS, objects=2)
    stage.handle(2)
    stage.ask(PODS + "&continue=abc", objects=2)
    stage.handle(1)
    stage.ask(PODS_WATCH)
    assert stage.swept == []
    stage.handle(1)
    assert stage.swept == [("pods", None, began)]


def test_a_watch_that_is_only_resumed_sweeps_nothing(stage: Stage) -> None:
    stage.ask(PODS)
    stage.ask(PODS_WATCH)
    stage.swept.clear()
    stage.ask(PODS_WATCH)
    assert stage.swept == []


def test_a_listing_that_is_broken_off_counts_from_its_next_try(stage: Stage) -> None:
    stage.ask(PODS, 500)
    began = stage.clock()
    stage.ask(PODS)
    stage.ask(PODS_WATCH)
    assert stage.swept == [("pods", None, began)]


def test_the_work_begins_when_every_object_of_the_listings_is_handled(stage: Stage) -> None:
    stage.ask(PODS, objects=2)
    stage.ask(PODS_WATCH)
    stage.handle(1)
    stage.monitor.event_handled(initial=False)
    stage.clock.pass_(3600)
    assert not stage.monitor.filled.is_set()
    stage.handle(1)
    assert stage.monitor.filled.is_set()


def test_each_request_is_a_sign_of_life(stage: Stage) -> None:
    stage.clock.pass_(50)
    assert stage.monitor.silent_seconds() == {"pods": 50}
    stage.ask(PODS_WATCH, 503)
    assert stage.monitor.silent_seconds() == {"pods": 0}


def test_health_names_the_watch_that_is_silent(stage: Stage) -> None:
    queue: WorkQueue[object] = WorkQueue(stage.clock)
    health = Health(stage.monitor, queue, Metrics(), stage.clock)  # type: ignore[arg-type]
    stage.ask(PODS)
    stage.ask(PODS_WATCH)
    assert health.report()["problems"] == []
    stage.clock.pass_(SILENT_SECONDS + 1)
    problems = health.report()["problems"]
    assert "the watch of pods has been silent for 361 s" in problems


def test_health_notices_a_key_that_nobody_takes(stage: Stage) -> None:
    queue: WorkQueue[object] = WorkQueue(stage.clock)
    health = Health(stage.monitor, queue, Metrics(), stage.clock)  # type: ignore[arg-type]
    queue.add("key")
    stage.clock.pass_(STUCK_KEY_SECONDS + 1)
    assert "an OcrService has waited for 301 s" in health.report()["problems"]


def test_the_operator_is_ready_when_the_cache_is_full_and_it_does_not_stop(stage: Stage) -> None:
    health = Health(stage.monitor, WorkQueue(stage.clock), Metrics(), stage.clock)
    assert health.unready() == ["waiting for pods in all namespaces"]
    stage.ask(PODS, objects=1)
    stage.ask(PODS_WATCH)
    assert health.unready() == ["waiting for the cache"]
    stage.handle(1)
    assert health.unready() == []
    health.stopping = True
    assert health.unready() == ["stopping"]
