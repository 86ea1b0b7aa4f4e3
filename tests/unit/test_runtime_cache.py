"""What the cache shows: the newest of each object, nothing that is gone."""

from __future__ import annotations

import pytest
from fake_api import Clock
from kube_objects import CONTAINER_ID, deployment, ocr_service, pod

from ocr_operator.core.observed import ChildKind, Key, Observed
from ocr_operator.runtime.cache import Cache

KEY = Key("team-a", "invoices")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> Cache:
    cache = Cache(clock)
    cache.put_service(ocr_service())
    return cache


def observe(cache: Cache) -> Observed:
    service = cache.service(KEY)
    assert service is not None
    return cache.observe(service, {}, {}, (), {})


def child(cache: Cache) -> object:
    return observe(cache).children[ChildKind.DEPLOYMENT].manifest["metadata"]


def test_everything_of_a_service_is_found_by_its_key(cache: Cache) -> None:
    cache.put_child(ChildKind.DEPLOYMENT, deployment())
    cache.put_pod(pod())
    observed = observe(cache)
    assert observed.service.key == KEY
    assert [pod.container_id for pod in observed.pods] == [CONTAINER_ID]
    assert observed.children.keys() == {ChildKind.DEPLOYMENT}
    assert cache.service(Key("team-b", "invoices")) is None


def test_the_answer_of_a_write_holds_until_the_watch_catches_up(cache: Cache) -> None:
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=9, annotations={"seen": "answer"}))
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=8, annotations={"seen": "late event"}))
    assert "'seen': 'answer'" in str(child(cache))
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=10, annotations={"seen": "newer"}))
    assert "'seen': 'newer'" in str(child(cache))


def test_the_late_answer_of_a_write_does_not_bring_a_deleted_object_back(cache: Cache) -> None:
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=9))
    cache.children[ChildKind.DEPLOYMENT].drop("deployment-uid", 11)
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=10))
    assert observe(cache).children == {}


def test_what_gets_the_label_back_is_seen_again(cache: Cache) -> None:
    """Without the label the watch calls it deleted, but it is the same object still."""
    store = cache.children[ChildKind.DEPLOYMENT]
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=9))
    for removed in (10, 20):
        store.drop("deployment-uid", removed)
        assert observe(cache).children == {}
        cache.put_child(ChildKind.DEPLOYMENT, deployment(version=removed + 1))
        assert observe(cache).children.keys() == {ChildKind.DEPLOYMENT}


def test_the_late_event_of_a_removed_label_does_not_undo_its_repair(cache: Cache) -> None:
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=11))
    cache.children[ChildKind.DEPLOYMENT].drop("deployment-uid", 10)
    assert observe(cache).children.keys() == {ChildKind.DEPLOYMENT}


def test_while_an_object_is_replaced_the_newer_one_is_seen(cache: Cache) -> None:
    newer = deployment(version=3, uid="b", creationTimestamp="2026-11-01T11:00:00Z")
    cache.put_child(ChildKind.DEPLOYMENT, newer)
    cache.put_child(ChildKind.DEPLOYMENT, deployment(version=2, uid="a"))
    assert observe(cache).children[ChildKind.DEPLOYMENT].uid == "b"
    cache.children[ChildKind.DEPLOYMENT].drop("a", 4)
    assert observe(cache).children[ChildKind.DEPLOYMENT].uid == "b"


def test_what_a_new_listing_does_not_show_is_forgotten(cache: Cache, clock: Clock) -> None:
    cache.put_child(ChildKind.DEPLOYMENT, deployment())
    clock.pass_(600)
    listing = clock()
    clock.pass_(1)
    cache.put_service(ocr_service())
    assert cache.services.sweep(listing, None) == set()
    assert cache.children[ChildKind.DEPLOYMENT].sweep(listing, None) == {KEY}
    assert observe(cache).children == {}


def test_a_listing_of_one_namespace_says_nothing_about_others(cache: Cache, clock: Clock) -> None:
    clock.pass_(600)
    assert cache.services.sweep(clock(), "team-b") == set()
    assert cache.services.sweep(clock(), "team-a") == {KEY}


def test_what_was_forgotten_too_early_comes_back(cache: Cache, clock: Clock) -> None:
    clock.pass_(600)
    cache.services.sweep(clock(), None)
    assert cache.service(KEY) is None
    cache.put_service(ocr_service())
    assert cache.service(KEY) is not None


def test_a_pod_that_changes_hands_is_seen_at_its_new_place_only(cache: Cache) -> None:
    cache.put_pod(pod(version=1))
    body = pod(version=2)
    body["metadata"]["labels"] = {"app.kubernetes.io/instance": "other"}
    cache.put_pod(body)
    assert cache.pods.get(KEY) == []
    assert len(cache.pods.get(Key("team-a", "other"))) == 1


def test_nothing_is_left_of_what_is_gone(cache: Cache) -> None:
    cache.put_pod(pod())
    cache.pods.drop("pod-uid", 2)
    cache.services.drop("service-uid", 2)
    assert len(cache.pods) == len(cache.services) == 0
    assert cache.pods.keys() == cache.services.keys() == []
