"""What a person does to a running service, and what must not happen to its pods."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import httpx
import pytest
from kubeapi import condition, wait_for
from processes import container_process
from world import PAGES, Room

PAGE = PAGES / "letter-en.png"


def template_generation(room: Room, name: str) -> set[str]:
    """The pods' UIDs: unchanged means that nothing was rolled."""
    return {pod["metadata"]["uid"] for pod in room.pods(name)}


def server(room: Room, name: str) -> dict:
    return room.deployment(name)["spec"]["template"]["spec"]["containers"][0]


def restarts(pod: dict) -> int:
    return pod["status"]["containerStatuses"][0]["restartCount"]


@pytest.fixture
def service(room: Room) -> Room:
    room.scripted("invoices", {"text": "hello"})
    room.wait_ready("invoices")
    return room


def test_a_hand_edit_is_put_back(service: Room) -> None:
    want = server(service, "invoices")["readinessProbe"]["periodSeconds"]
    service.api.patch(
        "deployments", service.namespace, "invoices",
        [
            {
                "op": "replace",
                "path": "/spec/template/spec/containers/0/readinessProbe/periodSeconds",
                "value": 77,
            }
        ],
    )  # fmt: skip
    wait_for(
        "the period put back",
        lambda: server(service, "invoices")["readinessProbe"]["periodSeconds"] == want,
        20,
    )
    service.api.delete("services", service.namespace, "invoices")
    wait_for(
        "the Service again", lambda: service.api.find("services", service.namespace, "invoices")
    )


def test_scale_one_three_one_rolls_nothing(service: Room) -> None:
    first = template_generation(service, "invoices")
    service.kubectl("scale", "ocrservice", "invoices", "--replicas=3")
    service.wait_ready("invoices", replicas=3)
    assert service.service("invoices")["status"]["replicas"] == 3
    assert first <= template_generation(service, "invoices")
    service.kubectl("scale", "ocrservice", "invoices", "--replicas=1")
    service.wait_ready("invoices", replicas=1)
    deployment = service.deployment("invoices")["metadata"]["annotations"]
    assert deployment["deployment.kubernetes.io/revision"] == "1"


def test_suspend_and_resume_roll_nothing(service: Room) -> None:
    service.kubectl("patch", "ocr", "invoices", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    service.wait_condition("invoices", "Ready", "False", "Suspended")
    wait_for("no pods", lambda: not service.pods("invoices"))
    service.kubectl("patch", "ocr", "invoices", "--type=merge", "-p", '{"spec":{"suspend":null}}')
    service.wait_ready("invoices")
    annotations = service.deployment("invoices")["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "1"


def test_a_service_annotation_rolls_nothing(service: Room) -> None:
    pods = template_generation(service, "invoices")
    patch = '{"spec":{"service":{"annotations":{"example.org/a":"b"}}}}'
    service.kubectl("patch", "ocr", "invoices", "--type=merge", "-p", patch)

    def annotations() -> dict:
        live = service.api.get("services", service.namespace, "invoices")
        return live["metadata"].get("annotations", {})

    wait_for("the annotation", lambda: annotations().get("example.org/a") == "b")
    removal = '{"spec":{"service":null}}'
    service.kubectl("patch", "ocr", "invoices", "--type=merge", "-p", removal)
    wait_for("the annotation gone", lambda: "example.org/a" not in annotations())
    assert template_generation(service, "invoices") == pods


def test_a_removed_node_selector_and_env_entry_disappear(room: Room) -> None:
    room.scripted(
        "invoices",
        {},
        nodeSelector={"kubernetes.io/os": "linux"},
        env=[{"name": "A", "value": "b"}],
    )
    room.wait_ready("invoices")
    assert "A" in {entry["name"] for entry in server(room, "invoices")["env"]}
    room.scripted("invoices", {})
    room.wait_ready("invoices")
    pod = room.deployment("invoices")["spec"]["template"]["spec"]
    assert "kubernetes.io/os" not in pod["nodeSelector"]
    assert "A" not in {entry["name"] for entry in server(room, "invoices")["env"]}


def test_the_model_is_changed_by_an_edit(service: Room) -> None:
    patch = '{"spec":{"model":{"name":"tesseract"}}}'
    service.kubectl("patch", "ocr", "invoices", "--type=merge", "-p", patch)
    service.wait_ready("invoices")

    def engine() -> bool:
        return service.read("invoices", PAGE).json()["engine"] == "tesseract"

    # The old pod goes on serving until kube-proxy has heard that it ends.
    wait_for("the new pod's answer", engine, 20)
    assert service.service("invoices")["status"]["model"] == "tesseract-5"


def test_an_unlabelled_deployment_of_the_same_name_is_left_alone(room: Room) -> None:
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "invoices", "namespace": room.namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {
                "metadata": {"labels": {"app": "theirs"}},
                "spec": {"containers": [{"name": "c", "image": "localhost/none:1"}]},
            },
        },
    }
    before = room.api.create("deployments", room.namespace, foreign)
    room.scripted("invoices")
    shown = room.wait_condition("invoices", "Ready", "False", "NameConflict")
    assert "Deployment" in shown["message"]
    assert "invoices" in shown["message"]
    time.sleep(3)
    after = room.deployment("invoices")
    assert after["spec"] == before["spec"]
    assert after["metadata"].get("labels") == before["metadata"].get("labels")
    assert "ownerReferences" not in after["metadata"]


def test_deletion_works_with_the_operator_down(service: Room) -> None:
    world = service.world
    world.kubectl("--namespace", "ocr-system", "scale", "deployment/ocr-operator", "--replicas=0")
    try:
        wait_for("no operator", lambda: not world.api.list(
            "pods", "ocr-system", "app.kubernetes.io/name=ocr-operator"))  # fmt: skip
        service.kubectl("delete", "ocr", "invoices", "--timeout=20s")
        wait_for("everything gone", lambda: not (
            service.pods("invoices")
            or service.api.find("deployments", service.namespace, "invoices")
            or service.api.find("services", service.namespace, "invoices")))  # fmt: skip
    finally:
        world.kubectl(
            "--namespace", "ocr-system", "scale", "deployment/ocr-operator", "--replicas=1"
        )
        wait_for("the operator", world.operator_pod, 60)


def test_the_operator_is_killed_in_the_middle_and_nothing_is_lost(room: Room) -> None:
    names = [f"burst-{number}" for number in range(8)]
    pod = wait_for("the operator", room.world.operator_pod)
    process = container_process(pod)
    # It finds all of them waiting at once, and is killed after its first write.
    os.kill(process, signal.SIGSTOP)
    for name in names[:4]:
        room.scripted(name)
    os.kill(process, signal.SIGCONT)
    wait_for(
        "a Deployment", lambda: room.api.list("deployments", room.namespace), timeout=30, every=0
    )
    os.kill(process, signal.SIGKILL)
    found = room.api.list("ocrservices", room.namespace)
    assert not all("status" in service for service in found), "nothing was left to be done"
    for name in names[4:]:
        room.scripted(name)
    for name in names:
        room.wait_ready(name, timeout=150)
        revision = room.deployment(name)["metadata"]["annotations"]
        assert revision["deployment.kubernetes.io/revision"] == "1"
    after = wait_for("the operator", room.world.operator_pod)
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]
    assert restarts(after) == restarts(pod) + 1


def test_a_rolling_update_loses_no_request(room: Room) -> None:
    room.scripted("invoices", {"text": "one", "page_seconds": 0.2}, replicas=2)
    room.wait_ready("invoices", replicas=2)
    url, content = f"{room.address('invoices')}/ocr", PAGE.read_bytes()
    stop = threading.Event()

    def stream() -> list[str]:
        seen = []
        while not stop.is_set():
            try:
                answer = httpx.post(url, files={"file": ("page.png", content)}, timeout=60)
                seen.append(f"{answer.status_code} {answer.json().get('text', '')[:3]}")
            except httpx.HTTPError as lost:
                seen.append(repr(lost))
        return seen

    streams = [room.world.network.submit(stream) for _ in range(3)]
    try:
        time.sleep(2)
        room.scripted("invoices", {"text": "two", "page_seconds": 0.2}, replicas=2)
        room.wait_ready("invoices", replicas=2, timeout=180)
        wait_for("the old pods gone", lambda: len(room.pods("invoices")) == 2, 60)
        time.sleep(2)
    finally:
        stop.set()
    answers = list(itertools.chain.from_iterable(stream.result() for stream in streams))
    print(f"{len(answers)} requests during the rolling update, none lost")
    assert set(answers) == {"200 one", "200 two"}


def test_a_gpu_service_waits_for_a_gpu_and_says_so(room: Room) -> None:
    node = room.api.list("nodes")[0]["metadata"]["name"]
    room.scripted("invoices", gpu={"count": 1})
    shown = room.wait_condition("invoices", "CapacityAvailable", "False")
    assert "nvidia.com/gpu" in shown["message"]
    assert condition(room.service("invoices"), "Ready")["status"] == "False"
    add = [{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "1"}]
    room.api.patch("nodes", None, node, add, subresource="status")
    try:
        room.wait_ready("invoices")
        limits = room.pods("invoices")[0]["spec"]["containers"][0]["resources"]["limits"]
        assert limits["nvidia.com/gpu"] == "1"
        assert condition(room.service("invoices"), "CapacityAvailable")["status"] == "True"
    finally:
        remove = [{"op": "remove", "path": "/status/capacity/nvidia.com~1gpu"}]
        room.api.patch("nodes", None, node, remove, subresource="status")
