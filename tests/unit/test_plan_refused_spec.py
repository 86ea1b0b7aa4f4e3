"""A spec that cannot be carried out any more: what was made from the one before stays as it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from objects import document, policy
from simulated import Simulated, cluster

from ocr_operator.core.observed import ChildKind
from ocr_operator.core.plan import Plan


def upgraded(*versions: str, **fields: Any) -> Simulated:
    """A service that serves scripted 1, under an operator whose catalogue has these versions."""
    world = cluster("scripted", **fields)
    world.edit({"name": "scripted", "version": "1"}, **fields)
    world.reconcile()
    world.start_pods()
    knows(world, *versions)
    world.reconcile()
    world.writes.clear()
    return world


def knows(world: Simulated, *versions: str) -> None:
    models = dict(policy().catalogue.models)
    models["scripted"] = replace(models["scripted"], versions=versions)
    world.policy = policy(catalogue=replace(policy().catalogue, models=models))


def change(world: Simulated, **fields: Any) -> None:
    """Something happens to the pod."""
    (name,) = world.pods
    world.pods[name] = replace(world.pods[name], **fields)


def test_an_upgrade_that_drops_the_version_keeps_what_serves_and_says_so() -> None:
    world = upgraded("2")
    sentence = "Model scripted has no version 1; known are 2."
    assert world.condition("Ready")["status"] == "True"
    degraded, progressing = world.condition("Degraded"), world.condition("Progressing")
    assert (degraded["status"], degraded["reason"]) == ("True", "InvalidSpec")
    assert degraded["message"] == sentence
    assert (progressing["status"], progressing["reason"]) == ("False", "InvalidSpec")
    assert progressing["message"] == f"What was rendered last stays applied. {sentence}"
    assert world.condition("ModelLoaded")["message"] == "scripted 1 is loaded."
    assert world.service.status["model"] == "scripted-1"
    assert world.service.status["replicasText"] == "1/1"
    assert world.startup()["samples"] == 1
    assert [event.reason for event in world.events[-2:]] == ["Ready", "InvalidSpec"]


def test_nothing_is_written_while_it_stays_so() -> None:
    world = upgraded("2")
    for _ in range(3):
        decision = world.reconcile()
        assert (decision.apply, decision.status, decision.events) == ((), None, ())
        world.restart_operator()
        world.wait(3600)


def test_a_hand_edit_is_put_back_to_what_was_rendered_last() -> None:
    world = upgraded("2")
    before = copy.deepcopy(world.objects)
    world.patch(ChildKind.DEPLOYMENT, lambda live: live["spec"]["template"]["spec"]["containers"][0]
                .update(image="theirs"))  # fmt: skip
    world.patch(ChildKind.SERVICE, lambda live: live["spec"].update(type="NodePort"))
    world.reconcile()
    for kind, wanted in before.items():
        assert world.objects[kind]["spec"] == wanted["spec"]
    assert [event.reason for event in world.events[-2:]] == ["Repaired", "Repaired"]


def test_a_deleted_service_object_comes_back() -> None:
    world = upgraded("2", service={"port": 80})
    del world.objects[ChildKind.SERVICE]
    world.reconcile()
    assert world.objects[ChildKind.SERVICE]["spec"]["ports"][0]["port"] == 80


def test_it_is_scaled_and_suspended_all_the_same() -> None:
    world = upgraded("2")
    before = world.template_hash
    model = {"name": "scripted", "version": "1"}
    world.edit(model, replicas=3)
    world.reconcile()
    assert world.deployment["spec"]["replicas"] == 3
    assert world.condition("Progressing")["reason"] == "RolloutInProgress"
    world.edit(model, replicas=3, suspend=True)
    world.reconcile()
    world.roll()
    world.reconcile()
    assert world.deployment["spec"]["replicas"] == 0
    assert world.condition("Ready")["reason"] == "Suspended"
    assert world.condition("Degraded")["reason"] == "InvalidSpec"
    assert world.template_hash == before


def test_a_pod_that_fails_meanwhile_takes_ready_away_with_its_own_reason() -> None:
    world = upgraded("2")
    change(world, ready=False, started_at=None, waiting_reason="ErrImagePull")
    world.count()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "ImagePullError"
    assert world.condition("Degraded")["reason"] == "InvalidSpec"


def test_a_lack_of_devices_is_still_known_by_what_was_rendered() -> None:
    world = upgraded("2", gpu={"count": 2, "resourceName": "example.org/card"})
    lacking = "0/3 nodes are available: 3 Insufficient example.org/card."
    change(world, ready=False, started_at=None, container_id="", scheduled=False,
           unschedulable_message=lacking)  # fmt: skip
    world.count()
    world.wait(5)
    world.reconcile()
    assert world.condition("CapacityAvailable")["reason"] == "InsufficientGPU"
    assert "No node has 2 free example.org/card" in world.condition("Ready")["message"]


def test_a_version_that_comes_back_rolls_nothing() -> None:
    world = upgraded("2")
    before = world.template_hash
    knows(world, "1", "2")
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"
    assert world.condition("Progressing")["reason"] == "RolloutComplete"
    assert world.template_hash == before
    assert world.writes == {"status": 1}


def test_a_start_meanwhile_is_counted_when_the_spec_is_right_again() -> None:
    world = upgraded("2")
    (name,) = world.pods
    again = {"container_id": "containerd://again", "started_at": world.now, "restart_count": 1}
    change(world, **again, ready=False, containers_ready_at=None)
    world.wait(4)
    world.read(name, document(model="scripted", version="1", init_seconds=3.0))
    world.make_ready(name)
    world.reconcile()
    assert world.startup()["samples"] == 1
    knows(world, "1")
    world.reconcile()
    assert world.startup()["samples"] == 2


def test_a_rollout_restart_meanwhile_is_not_repeated_when_the_spec_is_right_again() -> None:
    world = upgraded("2")
    world.rollout_restart()
    rolled = world.template_hash
    world.start_pods()
    assert world.condition("Ready")["status"] == "True"
    knows(world, "1")
    world.reconcile()
    assert world.template_hash == rolled


def test_a_wrong_edit_leaves_what_runs_and_says_so() -> None:
    world = cluster()
    world.reconcile()
    world.start_pods()
    world.writes.clear()
    world.events.clear()
    before = world.template_hash
    world.edit("nonsense")
    world.reconcile()
    assert world.template_hash == before
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["reason"] == "UnknownModel"
    assert world.condition("ModelLoaded")["message"] == "pp-ocr 6 is loaded."
    assert world.service.status["observedGeneration"] == 2
    assert world.startup()["samples"] == 1
    assert world.writes == {"status": 1}
    assert [event.reason for event in world.events] == ["UnknownModel"]
    world.edit()
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"
    assert world.template_hash == before


def test_a_spec_that_cannot_be_read_any_more_keeps_its_pods_and_its_service() -> None:
    world = upgraded("1", replicas=2, service={"port": 80})
    before = copy.deepcopy(world.objects)
    world.service = replace(world.service, spec=None, spec_error="spec.gpu: wrong")
    world.reconcile()
    assert world.objects == before
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["message"] == "The spec cannot be read: spec.gpu: wrong."
    assert world.service.status["replicasText"] == "2/2"
    assert world.service.status["url"] == "http://invoices.team-a.svc:80"
    world.patch(ChildKind.DEPLOYMENT, lambda live: live["spec"].update(minReadySeconds=99))
    world.reconcile()
    assert world.deployment["spec"] == before[ChildKind.DEPLOYMENT]["spec"]
    assert world.reconcile() == Plan()


def test_pods_of_somebody_elses_deployment_are_not_counted_as_ours() -> None:
    world = upgraded("2")
    world.deployment["metadata"]["ownerReferences"][0]["uid"] = "another"
    world.reconcile()
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert world.service.status["replicasText"] == "0/0"
    assert world.writes == {"status": 1}


def test_a_deployment_of_ours_that_does_not_say_what_was_rendered_is_left_alone() -> None:
    world = upgraded("2")
    del world.deployment["metadata"]["annotations"]["ocr-operator.dev/rendered-template"]
    world.reconcile()
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert world.service.status["replicasText"] == "1/1"
    assert world.writes == {"status": 1}


def test_a_template_that_grows_too_large_is_not_rolled_out() -> None:
    world = upgraded("1")
    before = copy.deepcopy(world.objects)
    env = [{"name": f"A{n}", "value": "x" * 9000} for n in range(8)]
    world.edit({"name": "scripted", "version": "1"}, podTemplate={"env": env})
    world.reconcile()
    assert world.objects == before
    assert world.condition("Ready")["status"] == "True"
    assert "move large values of podTemplate.env" in world.condition("Degraded")["message"]
