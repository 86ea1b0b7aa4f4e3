"""What goes wrong, and how it is said: once, in a sentence that a person can act on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from objects import NOW, document, policy, refusal, seconds
from simulated import Simulated, cluster

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.core.observed import ChildKind, Termination
from ocr_operator.core.plan import Plan, plan
from ocr_operator.startup.sample import DocumentState

FAILED = document(
    state=DocumentState.FAILED, init_seconds=None, error="load_model: no weights in the cache"
)


def starting(model: str = "pp-ocr", **fields: Any) -> Simulated:
    """Children are made and the pod's container runs."""
    world = cluster(model, **fields)
    world.reconcile()
    world.roll()
    world.reconcile()
    world.writes.clear()
    world.events.clear()
    return world


def served() -> Simulated:
    world = cluster()
    world.reconcile()
    world.start_pods()
    world.writes.clear()
    world.events.clear()
    return world


def change(world: Simulated, **fields: Any) -> None:
    """Something happens to the pod."""
    (name,) = world.pods
    world.pods[name] = replace(world.pods[name], **fields)


def fails(world: Simulated, reason: str) -> str:
    """Ready is False for this reason, said in one write and one event; returns the sentence."""
    world.reconcile()
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert world.condition("Degraded")["reason"] == reason
    assert world.writes == {"status": 1}
    assert [event.reason for event in world.events] == [reason]
    world.reconcile()
    world.wait(3600)
    world.reconcile()
    assert world.writes == {"status": 1}, "it flaps"
    return str(ready["message"])


# The spec.


def test_an_unknown_model_lists_the_known() -> None:
    problem = refusal("paddleocr")
    assert problem.reason == "UnknownModel"
    assert "known are paddleocr-vl, pp-ocr, scripted, tesseract" in problem.message


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"name": "pp-ocr", "version": "9"}, "Model pp-ocr has no version 9; known are 6."),
        (
            {"name": "paddleocr-vl", "version": "2"},
            "Model paddleocr-vl has no version 2; known are 1.0, 1.5, 1.6.",
        ),
    ],
)
def test_an_unknown_version_lists_the_known(model: dict[str, str], says: str) -> None:
    problem = refusal(model)
    assert (problem.reason, problem.message) == ("InvalidSpec", says)


def test_a_backend_the_model_does_not_have_lists_the_known() -> None:
    world = cluster({"name": "scripted", "backend": "native"})
    models = world.policy.catalogue.models
    world.policy = policy(
        catalogue=replace(
            world.policy.catalogue,
            models={**models, "scripted": replace(models["scripted"], backends=("vllm",))},
        )
    )
    world.reconcile()
    assert world.condition("Ready")["message"] == (
        "Model scripted has no backend native; known are vllm."
    )


def test_an_unsupported_language_names_the_model_that_can() -> None:
    problem = refusal({"name": "pp-ocr", "languages": ["en", "ru"]})
    assert problem.reason == "UnsupportedLanguage"
    assert "cannot read ru; tesseract can read en, ru" in problem.message


def test_a_language_that_no_model_lists_says_so() -> None:
    problem = refusal({"name": "tesseract", "languages": ["xx"]})
    assert "no model of the catalogue with a list can read xx" in problem.message


def test_a_model_without_an_image_says_what_to_set() -> None:
    world = cluster("paddleocr-vl")
    world.policy = policy(images={})
    world.reconcile()
    assert "images.gpu" in world.condition("Ready")["message"]
    world.edit("paddleocr-vl", image={"repository": "mine", "tag": "1"})
    world.reconcile()
    assert world.server["image"] == "mine:1"


def test_a_spec_that_does_not_parse_is_a_condition() -> None:
    world = cluster()
    world.service = replace(world.service, spec=None, spec_error="spec.gpu: wrong")
    world.reconcile()
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert world.condition("Ready")["message"] == "The spec cannot be read: spec.gpu: wrong."
    assert world.writes == {"status": 1}
    assert world.reconcile() == Plan()


def test_a_template_that_is_too_large_is_refused_before_the_api_server_does() -> None:
    world = cluster(podTemplate={"env": [{"name": f"A{n}", "value": "x" * 9000} for n in range(8)]})
    world.reconcile()
    assert world.condition("Ready")["reason"] == "InvalidSpec"
    assert "move large values of podTemplate.env" in world.condition("Ready")["message"]
    assert not world.objects


# The load.


def test_a_load_that_always_fails_restarts_nothing_and_says_why() -> None:
    world = starting()
    before = world.template_hash
    (name,) = world.pods
    world.wait(2)
    world.read(name, FAILED)
    message = fails(world, "LoadFailed")
    assert message == "The load failed: load_model: no weights in the cache"
    assert world.condition("ModelLoaded")["reason"] == "LoadFailed"
    assert world.template_hash == before
    assert world.last.scrapes, "it has to be seen when the load succeeds"


def test_a_retry_of_the_load_says_nothing_new() -> None:
    world = starting()
    (name,) = world.pods
    world.read(name, FAILED)
    world.reconcile()
    for state in (DocumentState.LOADING, DocumentState.FAILED, DocumentState.WARMING):
        world.read(name, replace(FAILED, state=state, attempts=3))
        world.reconcile()
    world.restart_operator()
    world.reconcile()
    world.read(name, None, failures=1)
    world.reconcile()
    assert world.writes == {"status": 1}


def test_a_load_that_succeeds_at_last_is_ready() -> None:
    world = starting()
    (name,) = world.pods
    world.read(name, FAILED)
    world.reconcile()
    world.wait(30)
    world.read(name, document(attempts=3))
    world.make_ready(name)
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["status"] == "False"
    assert world.startup()["lastSeconds"] == 2.09


@pytest.mark.parametrize("begun", [starting, served])
def test_a_restart_of_the_operator_says_nothing_new_of_a_pod_that_is_loaded_but_not_ready(
    begun: Callable[[], Simulated],
) -> None:
    world = begun()
    (name,) = world.pods
    change(world, ready=False, containers_ready_at=None)
    world.count()
    world.wait(60)
    world.read(name, document())
    world.reconcile()
    before = world.condition("Ready"), world.condition("ModelLoaded")
    assert (before[0]["reason"], before[1]["status"]) == ("NotReady", "True")
    assert world.writes == {"status": 1}

    world.restart_operator()
    world.reconcile()
    world.read(name, None, failures=1)
    world.reconcile()
    world.read(name, document())
    world.reconcile()
    assert world.writes == {"status": 1}

    world.read(name, document(state=DocumentState.LOADING, init_seconds=None))
    world.reconcile()
    assert world.condition("ModelLoaded")["reason"] == "Loading"


# The pod.


UNSCHEDULABLE = {
    "container_id": "",
    "started_at": None,
    "phase": "Pending",
    "scheduled": False,
    "unschedulable_message": "0/3 nodes are available: 1 Insufficient nvidia.com/gpu, 2 node(s) "
    "had untolerated taint {a: b}. preemption: 0/3 nodes are available: 3 No preemption victims.",
}


def test_a_gpu_service_waits_for_a_gpu_and_says_what_to_do() -> None:
    world = starting("scripted", gpu={"count": 2})
    change(world, **UNSCHEDULABLE)
    decision = world.reconcile()
    assert decision.requeue_at == NOW + seconds(5)
    assert not world.writes, "the scheduler may find a node yet"
    world.wait(5)
    message = fails(world, "InsufficientGPU")
    assert message == (
        "No node has 2 free nvidia.com/gpu: add a node with one, or scale down or suspend a "
        "service that holds one (Insufficient nvidia.com/gpu; node(s) had untolerated "
        "taint {a: b})."
    )
    assert world.condition("CapacityAvailable")["reason"] == "InsufficientGPU"
    taint = "node(s) had untolerated taint {a: b}"
    more_nodes = f"0/9 nodes are available: 4 Insufficient nvidia.com/gpu, 5 {taint}."
    change(world, unschedulable_message=more_nodes)
    world.reconcile()
    assert world.writes == {"status": 1}


def test_a_gpu_appears() -> None:
    world = starting("scripted", gpu={"count": 1})
    change(world, **UNSCHEDULABLE)
    world.wait(5)
    world.reconcile()
    (name,) = world.pods
    change(world, scheduled=True, unschedulable_message="", phase="Running", started_at=world.now,
           container_id="containerd://late")  # fmt: skip
    world.reconcile()
    assert world.condition("CapacityAvailable")["status"] == "True"
    world.wait(2)
    world.read(name, document(model="scripted", version="1", init_seconds=1.0))
    world.make_ready(name)
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"


def test_another_lack_is_unschedulable() -> None:
    world = starting()
    change(world, **UNSCHEDULABLE | {"unschedulable_message":
           '0/1 nodes are available: persistentvolumeclaim "models" not found.'})  # fmt: skip
    world.wait(5)
    assert 'persistentvolumeclaim "models" not found' in fails(world, "Unschedulable")


WAITING: dict[str, Any] = {"container_id": "", "started_at": None, "phase": "Pending"}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ('failed to resolve reference "x": not found', "it does not exist there"),
        ("failed to authorize: 401 Unauthorized", "access is denied"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "it is out of reach"),
        ('Container image "x" is not present with pull policy of Never', "pull policy is Never"),
    ],
)
def test_an_image_that_cannot_be_pulled_says_why(message: str, says: str) -> None:
    world = starting()
    change(world, **WAITING, waiting_reason="ErrImagePull", waiting_message=message)
    assert says in fails(world, "ImagePullError")


def test_the_back_off_of_a_pull_says_nothing_new() -> None:
    world = starting()
    change(world, **WAITING, waiting_reason="ErrImagePull", waiting_message="x: not found")
    world.reconcile()
    for waiting in ("ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"):
        text = "Back-off pulling image" if waiting == "ImagePullBackOff" else "y: not found"
        change(world, waiting_reason=waiting, waiting_message=text)
        world.reconcile()
    assert world.writes == {"status": 1}


def test_an_unknown_cause_of_a_pull_points_to_the_pod() -> None:
    world = starting()
    change(world, **WAITING, waiting_reason="ErrImagePull", waiting_message="strange")
    assert "kubectl describe pod" in fails(world, "ImagePullError")


def test_a_missing_config_map_key_is_named() -> None:
    world = starting()
    change(world, **WAITING, waiting_reason="CreateContainerConfigError",
           waiting_message='configmap "settings" not found')  # fmt: skip
    assert 'configmap "settings" not found' in fails(world, "ContainerConfigError")


ENDED = Termination(137, "OOMKilled", "", NOW, NOW + seconds(9))


def test_a_crash_loop_says_how_it_ends_and_does_not_flap() -> None:
    world = starting()
    change(world, restart_count=1, last_termination=ENDED)
    world.reconcile()
    assert not world.writes, "one crash may be an accident"
    change(world, restart_count=1, started_at=None, waiting_reason="CrashLoopBackOff")
    message = fails(world, "CrashLoop")
    assert "exit code 137, OOMKilled" in message
    change(world, restart_count=2, started_at=world.now, waiting_reason="")
    world.reconcile()
    change(world, restart_count=2, started_at=None, waiting_reason="CrashLoopBackOff")
    world.reconcile()
    assert world.writes == {"status": 1}


def test_a_restart_after_a_long_life_is_no_crash_loop() -> None:
    world = starting()
    long_run = Termination(137, "Error", "", NOW - timedelta(days=2), NOW)
    change(world, restart_count=7, last_termination=long_run)
    world.reconcile()
    assert not world.writes


def test_a_quota_that_refuses_pods_is_shown_and_does_not_flap() -> None:
    world = starting()
    for used in (1, 2, 3):
        world.deployment["status"]["conditions"].append(
            {"type": "ReplicaFailure", "status": "True", "message": f"exceeded quota: {used}/1."}
        )
        world.reconcile()
    assert world.condition("Ready")["message"] == "Pods cannot be created: exceeded quota: 1/1."
    assert world.writes == {"status": 1}


def test_a_rollout_without_end_is_shown_while_the_old_pods_serve() -> None:
    world = served()
    world.edit(nodeSelector={"disk": "ssd"})
    world.reconcile()
    status = world.deployment["status"]
    status["observedGeneration"] = world.deployment["metadata"]["generation"]
    status["conditions"] = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert world.condition("Degraded")["reason"] == "ProgressDeadlineExceeded"
    assert world.events[-1].reason == "ProgressDeadlineExceeded"


def test_a_bad_pod_of_a_rollout_does_not_take_ready_away() -> None:
    world = served()
    bad = replace(next(iter(world.pods.values())), name="new", container_id="", started_at=None,
                  ready=False, containers_ready_at=None, waiting_reason="ErrImagePull")  # fmt: skip
    world.pods["new"] = bad
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Degraded")["reason"] == "ImagePullError"


def test_pods_that_are_over_say_nothing() -> None:
    world = served()
    (name,) = world.pods
    evicted = replace(world.pods[name], name="evicted", phase="Failed", ready=False,
                      waiting_reason="ErrImagePull", container_id="x")  # fmt: skip
    leaving = replace(evicted, name="leaving", phase="Running", deleting=True)
    world.pods |= {"evicted": evicted, "leaving": leaving}
    world.reconcile()
    assert not world.writes


# What the server warns of.

WARNED = document(warnings=(("secret_missing", "the key Secret is not mounted or empty."),))


def test_a_warning_of_the_server_degrades_and_is_read_again_every_minute() -> None:
    world = starting()
    (name,) = world.pods
    world.wait(3)
    world.read(name, WARNED)
    world.make_ready(name)
    world.reconcile()
    degraded = world.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "SecretMissing")
    assert degraded["message"] == "the key Secret is not mounted or empty."
    assert [scrape.due_at for scrape in world.last.scrapes] == [world.now + seconds(60)]
    assert world.condition("Ready")["status"] == "True"

    world.restart_operator()
    world.reconcile()
    assert [scrape.due_at for scrape in world.last.scrapes] == [world.now]
    assert world.writes == {"status": 1}

    world.read(name, document())
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"
    assert world.last.scrapes == ()


SECRETS: dict[str, dict[str, Any]] = {
    "keys": {"auth": {"tokenSecretRef": {"name": "keys"}}},
    "credentials": {
        "s3": {
            "endpoint": "https://s3",
            "bucket": "results",
            "credentialsSecretRef": {"name": "s3"},
        }
    },
}


@pytest.mark.parametrize("fields", SECRETS.values(), ids=SECRETS.keys())
def test_a_secret_that_is_deleted_under_a_ready_pod_is_noticed_and_so_is_its_return(
    fields: dict[str, Any],
) -> None:
    world = cluster(**fields)
    world.reconcile()
    world.start_pods()
    (name,) = world.pods
    world.writes.clear()
    for _ in range(3):
        (scrape,) = world.reconcile().scrapes
        assert scrape.due_at - world.now <= seconds(300)
        world.now = max(world.now, scrape.due_at)
        world.read(name, document())
    assert not world.writes

    world.read(name, WARNED)
    (scrape,) = world.reconcile().scrapes
    assert world.condition("Degraded")["reason"] == "SecretMissing"
    assert scrape.due_at == world.now + seconds(60)
    world.now = scrape.due_at
    world.read(name, document())
    world.reconcile()
    assert world.condition("Degraded")["status"] == "False"
    assert world.writes == {"status": 2}


def test_a_loaded_server_without_its_keys_is_not_ready_and_says_where_to_look() -> None:
    world = starting()
    (name,) = world.pods
    world.wait(2.2)
    world.read(name, WARNED)
    decision = world.reconcile()
    assert decision.requeue_at is not None
    assert not world.writes, "it may become ready any moment"
    world.now = decision.requeue_at
    world.reconcile()
    assert world.condition("Ready")["reason"] == "NotReady"
    assert "/readyz" in world.condition("Ready")["message"]
    assert world.condition("ModelLoaded")["status"] == "True"
    assert world.condition("Degraded")["reason"] == "SecretMissing"
    assert world.startup()["samples"] == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [("a b", "AB"), ("", "Warning"), ("läßt!", "LT"), ("x" * 999, "X" + "x" * 127)],
)
def test_a_strange_code_still_makes_a_reason(code: str, reason: str) -> None:
    world = starting()
    (name,) = world.pods
    world.wait(3)
    world.read(name, document(warnings=((code, "text\x00\n" + "y" * 5000),)))
    world.make_ready(name)
    world.reconcile()
    degraded = world.condition("Degraded")
    assert degraded["reason"] == reason
    assert len(degraded["message"]) < 1100
    assert "\x00" not in degraded["message"]


# The API server.


def test_a_refused_apply_is_a_condition() -> None:
    world = cluster()
    refused = {ChildKind.DEPLOYMENT: "deployments.apps is forbidden: no."}
    seen = replace(world.observe(dict.fromkeys(ChildKind)), refusals=refused)
    decision = plan(seen, world.policy, world.now)
    assert decision.status is not None
    ready = decision.status["conditions"][0]
    assert (ready["reason"], ready["message"]) == (
        "ApplyRefused",
        "The API server refused the Deployment: deployments.apps is forbidden: no.",
    )
    assert len(decision.apply) == 2, "it is tried again"


def test_a_namespace_that_is_being_deleted_is_left_in_peace() -> None:
    world = served()
    text = "forbidden: unable to create new content in namespace a because it is being terminated"
    seen = replace(world.observe({}), refusals={ChildKind.SERVICE: text}, pods=())
    assert plan(seen, world.policy, world.now) == Plan()


def test_a_refused_repair_does_not_take_ready_away() -> None:
    world = served()
    world.patch(ChildKind.SERVICE, lambda live: live["spec"].update(type="NodePort"))
    seen = replace(world.observe({}), refusals={ChildKind.SERVICE: "quota"})
    decision = plan(seen, world.policy, world.now)
    assert decision.status is not None
    said = {entry["type"]: entry for entry in decision.status["conditions"]}
    assert said["Ready"]["status"] == "True"
    assert said["Degraded"]["reason"] == "ApplyRefused"


def test_a_refused_edit_that_is_taken_back_is_forgotten() -> None:
    world = served()
    seen = replace(world.observe({}), refusals={ChildKind.DEPLOYMENT: "quota"})
    assert plan(seen, world.policy, world.now) == plan(world.observe({}), world.policy, world.now)


def test_a_status_that_does_not_parse_is_written_anew() -> None:
    world = served()
    world.service = replace(world.service, status={"conditions": "nonsense"})
    world.reconcile()
    assert world.condition("Ready")["status"] == "True"


def test_annotations_that_do_not_parse_are_rendered_anew() -> None:
    world = served()
    for value in ("{", "[]", '{"spec": 7}'):
        annotations = world.deployment["metadata"]["annotations"]
        annotations["ocr-operator.dev/rendered-template"] = value
        world.reconcile()
        assert world.deployment["metadata"]["annotations"] != annotations
    world.writes.clear()
    world.reconcile()
    assert not world.writes


def test_a_spec_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    assert OcrServiceSpec.model_validate({"model": {"name": "pp-ocr"}, "future": 1}).model.name
