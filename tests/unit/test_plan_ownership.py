"""What is not ours is never touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from objects import UID
from simulated import Simulated, cluster

from ocr_operator.core.observed import ChildKind

Json = dict[str, Any]

OURS = {"app.kubernetes.io/name": "ocr-service", "app.kubernetes.io/instance": "invoices"}


def foreign(kind: ChildKind, selector: dict[str, str] | None = None, **metadata: Any) -> Json:
    """An object of the service's name that somebody else made."""
    selected: Any = selector or {"app": "theirs"}
    if kind is ChildKind.DEPLOYMENT:
        selected = {"matchLabels": selected}
    return {
        "metadata": {"name": "invoices", "namespace": "team-a", "generation": 1, **metadata},
        "spec": {"selector": selected},
    }


def beside(kind: ChildKind, **options: Any) -> Simulated:
    world = cluster()
    world.objects[kind] = foreign(kind, **options)
    return world


@pytest.mark.parametrize("kind", list(ChildKind))
def test_an_object_of_our_name_is_left_alone_and_named(kind: ChildKind) -> None:
    world = beside(kind)
    world.reconcile()
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "NameConflict")
    assert f"{kind.value} invoices exists" in ready["message"]
    assert 'ocr-operator.dev/adopt: "true"' in ready["message"]
    assert world.condition("Progressing")["reason"] == "Blocked"
    # The other child is not made either: it would be of no use.
    assert world.writes == {"status": 1}
    assert [event.reason for event in world.events] == ["NameConflict"]
    world.wait(400)
    world.reconcile()
    assert world.writes == {"status": 1}


def test_the_look_repeats_with_back_off_up_to_five_minutes() -> None:
    world, pauses = beside(ChildKind.DEPLOYMENT), []
    for _ in range(10):
        due = world.reconcile().requeue_at
        assert due is not None
        pauses.append((due - world.now).total_seconds())
        world.now = due
    assert pauses[:3] == [5, 5, 10]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300


def test_the_name_becomes_free() -> None:
    world = beside(ChildKind.DEPLOYMENT)
    world.reconcile()
    del world.objects[ChildKind.DEPLOYMENT]
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Starting"
    assert set(world.objects) == set(ChildKind)


@pytest.mark.parametrize("kind", list(ChildKind))
def test_it_is_adopted_when_the_person_says_so_and_the_selector_is_equal(kind: ChildKind) -> None:
    world = beside(kind, selector=OURS)
    if kind is ChildKind.DEPLOYMENT:
        world.objects[kind]["spec"]["template"] = {"metadata": {}, "spec": {"containers": []}}
    world.service = replace(world.service, annotations={"ocr-operator.dev/adopt": "true"})
    decision = world.reconcile()
    adopted = [change for change in decision.apply if change.kind is kind]
    assert [(change.force, change.why) for change in adopted] == [(True, "adopted")]
    owners = world.objects[kind]["metadata"]["ownerReferences"]
    assert owners[0]["uid"] == UID
    assert "Adopted" in [event.reason for event in world.events]
    world.writes.clear()
    world.reconcile()
    assert not world.writes


@pytest.mark.parametrize(
    "selector", [{"app": "theirs"}, {**OURS, "app": "theirs"}, {"app.kubernetes.io/name": "x"}]
)
def test_another_selector_is_not_adopted(selector: dict[str, str]) -> None:
    world = beside(ChildKind.DEPLOYMENT, selector=selector)
    world.service = replace(world.service, annotations={"ocr-operator.dev/adopt": "true"})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "NameConflict"


def test_match_expressions_are_another_selector() -> None:
    world = beside(ChildKind.DEPLOYMENT, selector=OURS)
    selector = world.objects[ChildKind.DEPLOYMENT]["spec"]["selector"]
    selector["matchExpressions"] = [{"key": "a", "operator": "Exists"}]
    world.service = replace(world.service, annotations={"ocr-operator.dev/adopt": "true"})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "NameConflict"


@pytest.mark.parametrize("labelled", [False, True])
def test_what_another_controls_is_never_adopted(labelled: bool) -> None:
    labels = {"app.kubernetes.io/managed-by": "ocr-operator"} if labelled else {}
    owner = {"kind": "Rollout", "name": "theirs", "uid": "x", "controller": True}
    world = beside(ChildKind.DEPLOYMENT, selector=OURS, ownerReferences=[owner], labels=labels)
    world.service = replace(world.service, annotations={"ocr-operator.dev/adopt": "true"})
    world.reconcile()
    assert "controlled by Rollout theirs" in world.condition("Ready")["message"]
    assert world.writes == {"status": 1}


def test_a_child_of_a_deleted_namesake_is_waited_for() -> None:
    owner = {"kind": "OcrService", "name": "invoices", "uid": "older", "controller": True}
    labels = {"app.kubernetes.io/managed-by": "ocr-operator"}
    world = beside(ChildKind.DEPLOYMENT, ownerReferences=[owner], labels=labels)
    world.reconcile()
    assert "belongs to a deleted OcrService" in world.condition("Ready")["message"]
    del world.objects[ChildKind.DEPLOYMENT]
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Starting"


def test_a_conflict_of_one_child_does_not_stop_the_repair_of_the_other() -> None:
    world = cluster()
    world.reconcile()
    world.start_pods()
    world.objects[ChildKind.SERVICE] = foreign(ChildKind.SERVICE)
    world.patch(ChildKind.DEPLOYMENT, lambda live: live["spec"].update(replicas=9))
    world.reconcile()
    assert world.deployment["spec"]["replicas"] == 1
    assert world.condition("Ready")["reason"] == "NameConflict"
    assert world.objects[ChildKind.SERVICE] == foreign(ChildKind.SERVICE)


def test_the_conflict_ends_and_nothing_was_lost() -> None:
    world = cluster()
    world.reconcile()
    world.start_pods()
    world.objects[ChildKind.SERVICE] = foreign(ChildKind.SERVICE)
    world.reconcile()
    world.wait(timedelta(minutes=4).total_seconds())
    del world.objects[ChildKind.SERVICE], world.applied[ChildKind.SERVICE]
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"
