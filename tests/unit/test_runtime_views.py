"""From objects as the API shows them to the views of `core.observed`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kube_objects import CONTAINER_ID, IMAGE_ID, deployment, ocr_service, pod, server_status

from ocr_operator.core.observed import ChildKind, Key, PodView, Termination
from ocr_operator.runtime.views import (
    pack_child,
    pack_service,
    pod_key,
    read_pod,
    unpack_child,
    unpack_service,
)


def at(second: int) -> datetime:
    return datetime(2026, 11, 1, 10, 0, second, tzinfo=UTC)


def test_a_service_survives_the_cache() -> None:
    body = ocr_service(replicas=2)
    body["status"] = {"replicas": "1/2"}
    body["metadata"]["annotations"] = {"ocr-operator.dev/adopt": "true"}
    view = unpack_service(pack_service(body))
    assert (view.key, view.uid, view.generation) == (Key("team-a", "invoices"), "service-uid", 1)
    assert view.spec is not None
    assert (view.spec.model.name, view.spec.replicas) == ("pp-ocr", 2)
    assert view.spec_error is None
    assert view.status == {"replicas": "1/2"}
    assert view.annotations == {"ocr-operator.dev/adopt": "true"}
    assert not view.deleting


def test_a_spec_that_does_not_parse_is_a_sentence_and_no_exception() -> None:
    view = unpack_service(pack_service(ocr_service(replicas="many", model={})))
    assert view.spec is None
    assert view.spec_error == (
        "spec.model.name: Field required; spec.replicas: Input should be a valid integer, "
        "unable to parse string as an integer"
    )


def test_a_service_that_is_being_deleted_says_so() -> None:
    body = ocr_service()
    body["metadata"]["deletionTimestamp"] = "2026-11-01T10:05:00Z"
    assert unpack_service(pack_service(body)).deleting


def test_a_child_survives_the_cache_without_managed_fields() -> None:
    body = deployment()
    view = unpack_child(ChildKind.DEPLOYMENT, pack_child(body))
    del body["metadata"]["managedFields"]
    assert view.manifest == body
    assert (view.name, view.uid, view.controller_uid) == (
        "invoices",
        "deployment-uid",
        "service-uid",
    )


def test_a_child_of_nobody_has_no_controller() -> None:
    view = unpack_child(ChildKind.DEPLOYMENT, pack_child(deployment(ownerReferences=[])))
    assert view.controller_uid is None


def test_a_ready_pod() -> None:
    assert read_pod(pod()) == PodView(
        name="invoices-7d4f9-x2x2x",
        uid="pod-uid",
        created_at=at(2),
        deleting=False,
        phase="Running",
        pod_ip="198.18.0.7",
        template_hash="7d4f9",
        annotations={"kubectl.kubernetes.io/restartedAt": "2026-11-01T09:59:00Z"},
        image="registry.test/ocr:1.6",
        image_id=IMAGE_ID,
        container_id=CONTAINER_ID,
        container_count=2,
        restart_count=0,
        started_at=at(5),
        started=True,
        ready=True,
        containers_ready_at=at(12),
        waiting_reason="",
        waiting_message="",
        last_termination=None,
        scheduled=True,
        unschedulable_message="",
        cpu_limit="2",
        startup_period_seconds=2,
        requests={"cpu": "250m"},
    )


def test_a_pod_that_no_node_takes() -> None:
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    view = read_pod(
        pod(
            phase="Pending",
            podIP=None,
            containerStatuses=[],
            conditions=[
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": message,
                }
            ],
        )
    )
    assert (view.scheduled, view.unschedulable_message) == (False, message)
    assert (view.container_id, view.started_at, view.pod_ip) == ("", None, None)


ENDED = {
    "exitCode": 137,
    "reason": "Error",
    "message": "load_model: 41 s without an end",
    "startedAt": "2026-11-01T10:00:05Z",
    "finishedAt": "2026-11-01T10:00:50Z",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"state": {"terminated": ENDED}},
        {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ENDED}},
        {"lastState": {"terminated": ENDED}},
    ],
)
def test_how_a_container_ended_is_seen_in_its_state_and_in_the_last(
    changes: dict[str, Any],
) -> None:
    view = read_pod(pod(containerStatuses=[server_status(**changes)]))
    assert view.last_termination == Termination(
        137, "Error", "load_model: 41 s without an end", at(5), at(50)
    )


def test_a_container_that_cannot_start_says_why() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}
    view = read_pod(pod(containerStatuses=[server_status(state={"waiting": waiting})]))
    assert (view.waiting_reason, view.waiting_message) == tuple(waiting.values())


def test_containers_that_stopped_being_ready_are_ready_at_no_time() -> None:
    condition = {
        "type": "ContainersReady",
        "status": "False",
        "lastTransitionTime": "2026-11-01T10:00:12Z",
    }
    assert read_pod(pod(conditions=[condition])).containers_ready_at is None


def test_a_pod_without_a_status_yet() -> None:
    body = pod()
    del body["status"]
    assert read_pod(body).phase == ""


def test_a_pod_without_our_label_belongs_to_nothing() -> None:
    body = pod()
    assert pod_key(body) == Key("team-a", "invoices")
    del body["metadata"]["labels"]
    assert pod_key(body) is None
