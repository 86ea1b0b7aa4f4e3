"""A service from its first reconcile on: what is written, what is rolled, and above all what is
not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from objects import IMAGE_CPU, document, policy, start, start_key
from simulated import Simulated, cluster

from ocr_operator.core.actions import Plan
from ocr_operator.core.observed import ChildKind
from ocr_operator.startup.profile import Profile, record

DEPLOYMENT, SERVICE = ChildKind.DEPLOYMENT, ChildKind.SERVICE

Edit = Callable[[Simulated], None]


@pytest.fixture
def serving() -> Simulated:
    return settled(cluster())


def settled(world: Simulated) -> Simulated:
    """Ready, with nothing written from here on."""
    world.reconcile()
    world.start_pods()
    assert world.condition("Ready")["status"] == "True"
    world.writes.clear()
    world.events.clear()
    return world


def test_a_new_service_costs_four_writes_and_three_events() -> None:
    world = cluster()
    world.reconcile()
    assert world.condition("Ready")["reason"] == "Starting"
    world.start_pods()
    assert world.condition("Ready")["status"] == "True"
    assert world.startup()["samples"] == 1
    assert world.writes == {"Deployment": 1, "Service": 1, "status": 2}
    assert [event.reason for event in world.events] == ["Created", "Created", "Ready"]


@pytest.mark.parametrize("order", ["document last", "count last", "document with the pod ready"])
def test_four_writes_in_whatever_order_the_events_come(order: str) -> None:
    world = cluster()
    world.reconcile()
    (name,) = world.roll()
    world.reconcile()
    world.wait(2.4)
    if order != "document last":
        world.read(name, document(init_seconds=2.2))
        world.reconcile()
        world.wait(0.7)
    world.make_ready(name, counted=order != "count last")
    world.reconcile()
    world.wait(0.9)
    if order == "document last":
        world.read(name, document(init_seconds=2.2))
    world.count()
    world.reconcile()
    assert world.startup()["samples"] == 1
    assert world.condition("Ready")["status"] == "True"
    assert world.writes == {"Deployment": 1, "Service": 1, "status": 2}


def test_what_a_person_sees(serving: Simulated) -> None:
    status, startup = serving.service.status, serving.startup()
    assert status["url"] == "http://invoices.team-a.svc:8081"
    assert (status["replicasText"], status["model"]) == ("1/1", "pp-ocr-6")
    assert (startup["init"], startup["budget"]) == ("2s", "41m46s")
    assert startup["explanation"].startswith("applied: startup budget 2506 s: no start of pp-ocr 6")
    assert "1 start of pp-ocr 6 on cpu took 2.0 s" in startup["explanation"]
    assert status["selector"] == (
        "app.kubernetes.io/instance=invoices,app.kubernetes.io/name=ocr-service"
    )


def test_nothing_is_written_in_steady_state(serving: Simulated) -> None:
    for _ in range(3):
        serving.wait(timedelta(days=1).total_seconds())
        decision = serving.reconcile()
        assert (decision.apply, decision.status, decision.events) == ((), None, ())
    assert not serving.writes


def test_nothing_is_written_or_read_at_a_restart_of_the_operator(serving: Simulated) -> None:
    serving.restart_operator()
    assert serving.reconcile() == Plan()


def test_starts_of_other_services_do_not_make_this_one_write(serving: Simulated) -> None:
    key = start_key(digest="a" * 64)
    for number in range(30):
        other = start(2.0 + number % 3, f"containerd://other-{number}", serving.now)
        serving.profiles[key] = record(serving.profiles.get(key, Profile(key)), other)
        serving.reconcile()
    assert not serving.writes
    serving.wait(700)
    serving.reconcile()
    assert serving.writes == {"status": 1}
    assert serving.startup()["samples"] == 31
    serving.wait(700)
    serving.reconcile()
    assert serving.writes == {"status": 1}


def test_the_first_rollout_is_not_restarted_and_the_second_has_learned() -> None:
    world = settled(cluster("scripted"))
    first, rolled = world.server["startupProbe"], world.template_hash
    assert first["failureThreshold"] == 381
    assert world.condition("ProbesTuned")["reason"] == "RecommendationPending"
    world.wait(3600)
    world.reconcile()
    assert world.template_hash == rolled

    world.edit("scripted", nodeSelector={"disk": "ssd"})
    world.reconcile()
    second = world.server["startupProbe"]
    assert second["failureThreshold"] < 200
    applied = world.startup()["applied"]["startup"]
    assert applied["failureThreshold"] == second["failureThreshold"]
    assert world.startup()["samples"] == 1
    assert world.condition("ProbesTuned") == {
        "type": "ProbesTuned",
        "status": "True",
        "reason": "Applied",
        "message": "The probes are what the measured starts recommend.",
        "lastTransitionTime": world.condition("ProbesTuned")["lastTransitionTime"],
        "observedGeneration": 2,
    }


def test_both_starts_are_counted_after_the_second_rollout() -> None:
    world = settled(cluster())
    world.edit(nodeSelector={"disk": "ssd"})
    world.reconcile()
    world.wait(5)
    world.start_pods()
    assert world.startup()["samples"] == 2


def test_a_rollout_keeps_ready_and_shows_progress(serving: Simulated) -> None:
    serving.edit(nodeSelector={"disk": "ssd"})
    serving.reconcile()
    assert serving.condition("Ready")["status"] == "True"
    assert serving.condition("Progressing")["reason"] == "RolloutInProgress"
    assert [event.reason for event in serving.events] == ["Updated"]


NO_ROLL: dict[str, Edit] = {
    "scale": lambda world: world.edit(replicas=3),
    "suspend": lambda world: world.edit(suspend=True),
    "a Service annotation": lambda world: world.edit(service={"annotations": {"a": "b"}}),
    "a Service port": lambda world: world.edit(service={"port": 80, "type": "NodePort"}),
    "an empty field": lambda world: world.edit(nodeSelector={}, podTemplate={"env": []}),
    "the default replicas": lambda world: world.edit(replicas=1),
}


@pytest.mark.parametrize("edit", NO_ROLL.values(), ids=NO_ROLL.keys())
def test_what_is_no_input_of_the_template_rolls_nothing(serving: Simulated, edit: Edit) -> None:
    before = serving.template_hash
    edit(serving)
    serving.reconcile()
    assert serving.template_hash == before
    assert serving.service.status["observedGeneration"] == serving.service.generation
    serving.writes.clear()
    serving.reconcile()
    assert not serving.writes


ROLLS: dict[str, dict[str, Any]] = {
    "resources": {"resources": {"limits": {"cpu": "2"}}},
    "env": {"podTemplate": {"env": [{"name": "A", "value": "b"}]}},
    "image": {"image": {"tag": "2"}},
    "probes": {"probes": {"startup": {"periodSeconds": 3}}},
    "budget": {"probes": {"maxBudgetSeconds": 100}},
    "languages": {"model": {"name": "pp-ocr", "languages": ["en"]}},
    "a key Secret": {"auth": {"tokenSecretRef": {"name": "keys"}}},
    "limits": {"limits": {"maxPagesSync": 3}},
}


@pytest.mark.parametrize("fields", ROLLS.values(), ids=ROLLS.keys())
def test_an_input_of_the_template_rolls_once(serving: Simulated, fields: dict[str, Any]) -> None:
    before = serving.template_hash
    serving.edit(**fields)
    serving.reconcile()
    assert serving.template_hash != before
    assert serving.writes == {"Deployment": 1, "status": 1}
    serving.writes.clear()
    serving.reconcile()
    assert not serving.writes


def test_scale_one_three_one(serving: Simulated) -> None:
    serving.edit(replicas=3)
    serving.reconcile()
    assert serving.deployment["spec"]["replicas"] == 3
    serving.start_pods()
    assert serving.service.status["replicasText"] == "3/3"
    assert serving.service.status["replicas"] == 3
    serving.edit(replicas=1)
    serving.reconcile()
    serving.roll()
    serving.reconcile()
    assert serving.service.status["replicasText"] == "1/1"
    assert serving.deployment["spec"].get("minReadySeconds", 0) == 0


def test_suspend_and_resume(serving: Simulated) -> None:
    serving.edit(suspend=True)
    serving.reconcile()
    assert serving.condition("Ready")["reason"] == "Suspended"
    assert serving.condition("Ready")["message"] == "No pod is wanted: spec.suspend is true."
    serving.count()
    serving.reconcile()
    assert serving.writes == {"Deployment": 1, "status": 1}
    assert [event.reason for event in serving.events] == ["Updated", "Suspended"]
    serving.roll()
    serving.reconcile()
    assert not serving.pods
    assert serving.writes == {"Deployment": 1, "status": 1}
    assert serving.condition("ModelLoaded")["reason"] == "Suspended"
    assert serving.service.status["replicasText"] == "0/0"
    learned = serving.startup()["p50Seconds"]
    assert learned == 2.0

    serving.edit()
    serving.reconcile()
    assert serving.condition("Ready")["reason"] == "Starting"
    serving.start_pods()
    assert serving.condition("Ready")["status"] == "True"
    assert serving.condition("Progressing")["status"] == "False"
    assert serving.startup()["samples"] == 2
    assert serving.writes == {"Deployment": 2, "status": 3}


def test_zero_replicas_say_so(serving: Simulated) -> None:
    serving.edit(replicas=0)
    serving.reconcile()
    assert serving.condition("Ready")["message"] == "No pod is wanted: spec.replicas is 0."


def test_what_was_learned_survives_a_suspension_with_an_edit() -> None:
    world = settled(cluster("scripted"))
    world.edit("scripted", suspend=True)
    world.reconcile()
    world.roll()
    world.reconcile()
    world.edit("scripted", nodeSelector={"disk": "ssd"})
    world.reconcile()
    assert world.server["startupProbe"]["failureThreshold"] < 1000


def test_a_removed_node_selector_and_env_entry_disappear(serving: Simulated) -> None:
    serving.edit(nodeSelector={"disk": "ssd"}, podTemplate={"env": [{"name": "A", "value": "b"}]})
    serving.reconcile()
    assert serving.template["spec"]["nodeSelector"]["disk"] == "ssd"
    assert "A" in {entry["name"] for entry in serving.server["env"]}
    serving.edit()
    serving.reconcile()
    assert serving.template["spec"]["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert "A" not in {entry["name"] for entry in serving.server["env"]}


def test_the_model_is_changed_by_an_edit(serving: Simulated) -> None:
    serving.edit("tesseract")
    serving.reconcile()
    assert {"name": "OCR_MODEL", "value": "tesseract"} in serving.server["env"]
    assert serving.service.status["model"] == "tesseract-5"
    assert "samples" not in serving.startup() or serving.startup()["samples"] == 0
    serving.start_pods(1.2)
    assert serving.condition("Ready")["status"] == "True"
    assert serving.startup()["key"]["model"] == "tesseract"


def edit_probe(field: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(live: dict[str, Any]) -> None:
        live["spec"]["template"]["spec"]["containers"][0]["readinessProbe"][field] = value

    return edit


def drop_label(live: dict[str, Any]) -> None:
    del live["metadata"]["labels"]["app.kubernetes.io/managed-by"]


DRIFT: dict[str, tuple[ChildKind, Callable[[dict[str, Any]], Any], str]] = {
    "a period": (DEPLOYMENT, edit_probe("periodSeconds", 77), "readinessProbe.periodSeconds"),
    "a delay": (DEPLOYMENT, edit_probe("initialDelaySeconds", 90), "initialDelaySeconds"),
    "replicas": (DEPLOYMENT, lambda live: live["spec"].update(replicas=5), "spec.replicas"),
    "another node label": (
        DEPLOYMENT,
        lambda live: live["spec"]["template"]["spec"]["nodeSelector"].update(disk="hdd"),
        "nodeSelector",
    ),
    "the strategy": (
        DEPLOYMENT,
        lambda live: live["spec"]["strategy"]["rollingUpdate"].update(maxSurge="25%"),
        "spec.strategy.rollingUpdate.maxSurge",
    ),
    "an env value": (
        DEPLOYMENT,
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["env"][0].update(value="9"),
        "env[OCR_PORT].value",
    ),
    "the owner": (DEPLOYMENT, lambda live: live["metadata"]["labels"].clear(), "metadata.labels"),
    "a Service port": (
        SERVICE,
        lambda live: live["spec"]["ports"][0].update(targetPort=1),
        "targetPort",
    ),
    "the Service's label": (SERVICE, drop_label, "managed-by"),
    "an annotation of ours": (
        DEPLOYMENT,
        lambda live: live["metadata"]["annotations"].update({"ocr-operator.dev/applied-hash": "x"}),
        "",
    ),
}


def content(world: Simulated) -> dict[ChildKind, Any]:
    """The objects but for what counts their changes."""
    objects = copy.deepcopy(world.objects)
    for body in objects.values():
        body.pop("status", None)
        body["metadata"].pop("generation")
    return objects


@pytest.mark.parametrize("case", DRIFT.values(), ids=DRIFT.keys())
def test_a_hand_edit_is_put_back(
    serving: Simulated, case: tuple[ChildKind, Callable[[dict[str, Any]], Any], str]
) -> None:
    kind, edit, path = case
    before = serving.template_hash
    wanted = content(serving)
    serving.patch(kind, edit)
    decision = serving.reconcile()
    (change,) = decision.apply
    assert (change.kind, change.force) == (kind, True)
    assert path in change.why
    assert serving.template_hash == before
    assert content(serving) == wanted
    serving.writes.clear()
    serving.reconcile()
    assert not serving.writes


def test_drift_is_an_event_of_its_own(serving: Simulated) -> None:
    serving.patch(DEPLOYMENT, edit_probe("periodSeconds", 77))
    serving.reconcile()
    assert serving.events[0].reason == "Repaired"
    assert "readinessProbe.periodSeconds" in serving.events[0].note


@pytest.mark.parametrize("kind", list(ChildKind))
def test_a_deleted_child_comes_back(serving: Simulated, kind: ChildKind) -> None:
    template = serving.template
    del serving.objects[kind], serving.applied[kind]
    decision = serving.reconcile()
    assert [(change.kind, change.force) for change in decision.apply] == [(kind, False)]
    if kind is DEPLOYMENT:
        # The recorded key still speaks for the image: it is rendered with what was learned.
        assert serving.server["startupProbe"] != template["spec"]["containers"][0]["startupProbe"]


def test_a_child_that_is_being_deleted_is_left_alone(serving: Simulated) -> None:
    serving.objects[SERVICE]["metadata"]["deletionTimestamp"] = "2026-11-21T05:00:00Z"
    decision = serving.reconcile()
    assert decision.apply == ()
    assert decision.requeue_at is not None


def test_fields_of_others_are_left_to_them(serving: Simulated) -> None:
    def annotate(live: dict[str, Any]) -> None:
        live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "7"
        live["spec"]["template"]["spec"]["containers"].append({"name": "injected"})
        live["spec"]["paused"] = True

    serving.patch(DEPLOYMENT, annotate)
    assert serving.reconcile().apply == ()


def test_rollout_restart_renders_with_what_was_learned() -> None:
    world = settled(cluster("scripted"))
    world.rollout_restart()
    world.reconcile()
    assert world.server["startupProbe"]["failureThreshold"] < 1000
    annotations = world.template["metadata"]["annotations"]
    assert annotations == {"kubectl.kubernetes.io/restartedAt": "2026-11-21T05:00:00Z"}
    world.writes.clear()
    world.reconcile()
    assert not world.writes


def test_new_numbers_do_not_join_a_restart_whose_pods_have_started() -> None:
    world = settled(cluster("scripted"))
    world.rollout_restart()
    restarted = world.template_hash
    (name,) = world.roll()
    world.make_ready(name)
    world.reconcile()
    assert world.template_hash == restarted
    assert world.server["startupProbe"]["failureThreshold"] == 381
    world.wait(100)
    world.reconcile()
    assert world.template_hash == restarted
    world.rollout_restart("2026-11-21T09:00:00Z")
    world.reconcile()
    assert world.server["startupProbe"]["failureThreshold"] < 1000


def upgraded(world: Simulated) -> Simulated:
    """Another image, version, requests and prior: an operator that was upgraded."""
    models = dict(world.policy.catalogue.models)
    entry = models["pp-ocr"]
    prior = replace(entry.prior, median_seconds=7.0)
    models["pp-ocr"] = replace(
        entry, versions=("6", "7"), requests={"cpu": "2", "memory": "2Gi"}, prior=prior
    )
    world.policy = policy(
        catalogue=replace(world.policy.catalogue, models=models),
        images={"cpu": IMAGE_CPU.replace("1.0.0", "2.0.0")},
        image_pull_policy="Always",
    )
    return world


def test_an_upgrade_of_the_operator_rolls_nothing_and_says_so_once(serving: Simulated) -> None:
    before = serving.template_hash
    samples = serving.startup()["samples"]
    upgraded(serving).reconcile()
    assert serving.template_hash == before
    assert serving.service.status["model"] == "pp-ocr-6"
    assert serving.startup()["samples"] == samples
    assert serving.condition("Progressing")["reason"] == "UpdateAvailable"
    assert "spec.containers[server].image" in serving.condition("Progressing")["message"]
    assert serving.writes == {"status": 1}
    serving.reconcile()
    assert serving.writes == {"status": 1}
    assert serving.startup()["samples"] == 1


def test_an_upgrade_joins_the_next_rollout(serving: Simulated) -> None:
    upgraded(serving).rollout_restart()
    serving.reconcile()
    assert serving.server["image"].endswith("2.0.0")
    assert serving.server["resources"]["requests"]["cpu"] == "2"
    # Nothing is measured of the new image: the prior again.
    assert serving.startup()["applied"]["budgetSeconds"] > 2000


def test_scaling_after_an_upgrade_rolls_nothing(serving: Simulated) -> None:
    before = serving.template_hash
    upgraded(serving).edit(replicas=2)
    serving.reconcile()
    assert serving.template_hash == before


def test_lost_readiness_is_written_at_once(serving: Simulated) -> None:
    (name,) = serving.pods
    serving.pods[name] = replace(serving.pods[name], ready=False, containers_ready_at=None)
    serving.reconcile()
    assert serving.condition("Ready")["reason"] == "NotReady"
    assert serving.events[-1].reason == "NotReady"
    assert serving.condition("Progressing")["status"] == "False"
    serving.make_ready(name)
    serving.reconcile()
    assert serving.events[-1].reason == "Ready"


def test_a_deleted_service_is_left_to_the_garbage_collector(serving: Simulated) -> None:
    serving.service = replace(serving.service, deleting=True)
    serving.objects.clear()
    assert serving.reconcile() == Plan()
