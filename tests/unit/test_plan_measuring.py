"""When a start counts, what it is filed under, and which documents are read when."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from objects import (
    DIGEST,
    IMAGE_CPU,
    KEY,
    NOW,
    document,
    observed,
    pod,
    profile,
    reading,
    readings,
    ready,
    resolved,
    seconds,
    start,
    start_key,
    view,
)
from simulated import Simulated, cluster

from ocr_operator.core.image import digest_of, parse
from ocr_operator.core.measure import new_starts, own_starts, scrapes
from ocr_operator.core.observed import DocumentReading, Observed, PodView
from ocr_operator.startup.profile import WINDOW, Prior, Profile, record
from ocr_operator.startup.sample import DocumentState, Source

LATER = NOW + seconds(30)
READY = ready(pod(), NOW + seconds(3))


def world(of: PodView, read: DocumentReading | None = None, **changes: Any) -> Observed:
    return observed(pods=(of,), readings=readings(*([read] if read else [])), **changes)


def test_a_ready_document_is_a_start_even_before_the_pod_is_ready() -> None:
    ((key, found),) = new_starts(world(pod(), reading(pod(), document())), resolved(), LATER)
    assert key == start_key()
    assert (found.seconds, found.source) == (2.09, Source.DOCUMENT)


def test_a_start_is_handed_out_once() -> None:
    known = record(Profile(start_key()), start(2.09, pod().container_id))
    seen = world(pod(), reading(pod(), document()), profiles=(known,))
    assert new_starts(seen, resolved(), LATER) == ()


def test_a_start_that_left_the_window_is_not_handed_out_again() -> None:
    full = Profile(start_key())
    for number in range(WINDOW + 1):
        full = record(full, start(2.0, f"c{number}", NOW + seconds(number)))
    seen = world(pod(), reading(pod(), document()), profiles=(full,))
    assert new_starts(seen, resolved(), LATER) == ()


NO_START: dict[str, tuple[PodView, Any]] = {
    "still loading": (pod(), document(state=DocumentState.LOADING, init_seconds=None)),
    "failed": (pod(), document(state=DocumentState.FAILED, init_seconds=None, error="x")),
    "of another model": (pod(), document(model="tesseract")),
    "not running": (pod(started_at=None), document()),
    "being deleted": (pod(deleting=True), document()),
    "not read, not ready": (pod(), None),
    "more than the pod shows": (pod(), document(init_seconds=40.0)),
    "unreadable, restarted": (replace(READY, restart_count=1), None),
    "unreadable, two containers": (replace(READY, container_count=2), None),
}


@pytest.mark.parametrize(("of", "answer"), NO_START.values(), ids=NO_START.keys())
def test_what_is_no_start(of: PodView, answer: Any) -> None:
    read = reading(of, answer, failures=0 if answer else 9)
    assert new_starts(world(of, read), resolved(), LATER) == ()


def test_without_a_document_the_pods_own_times_have_to_do() -> None:
    ((key, found),) = new_starts(world(READY, reading(READY, failures=2)), resolved(), LATER)
    assert key == start_key()
    assert (found.seconds, found.source, found.resolution) == (3.0, Source.POD, 2.0)


def test_one_failed_reading_is_waited_over() -> None:
    seen = world(READY, reading(READY, failures=1))
    assert new_starts(seen, resolved(), NOW + seconds(4)) == ()
    assert len(new_starts(seen, resolved(), NOW + seconds(7))) == 1


def test_a_document_that_claims_too_much_is_replaced_by_the_pods_times() -> None:
    lying = document(init_seconds=1000.0)
    ((_, found),) = new_starts(world(READY, reading(READY, lying)), resolved(), LATER)
    assert (found.seconds, found.source) == (3.0, Source.POD)


def test_a_restart_is_measured_from_its_own_container() -> None:
    again = replace(READY, restart_count=3, started_at=NOW + seconds(100))
    again = ready(again, NOW + seconds(104))
    ((_, found),) = new_starts(world(again, reading(again, document())), resolved(), LATER)
    assert found.started_at == NOW + seconds(100)


def test_readiness_of_the_container_before_is_not_this_ones() -> None:
    again = replace(READY, started_at=NOW + seconds(100), restart_count=1)
    late = reading(again, document(), read_at=NOW + seconds(103))
    ((_, found),) = new_starts(world(again, late), resolved(), LATER)
    assert found.seconds == 2.09


@pytest.mark.parametrize(
    ("changes", "device", "key"),
    [
        ({"cpu_limit": "1500m"}, "cpu", start_key(cpu_limit="1.5")),
        ({"cpu_limit": "2"}, "NVIDIA L4", start_key(device="NVIDIA L4")),
        ({"image_id": "docker-pullable://x@sha256:bb"}, "cpu", start_key(digest="bb")),
        ({"image_id": "sha256:cc"}, "cpu", start_key(digest="cc")),
        ({"image_id": "local"}, "cpu", start_key(digest="local")),
        ({"image": "r:5000/x@sha256:dd"}, "cpu", start_key(repository="r:5000/x")),
        ({"image": "r:5000/x"}, "cpu", start_key(repository="r:5000/x")),
    ],
)
def test_what_a_start_is_filed_under(changes: dict[str, str], device: str, key: object) -> None:
    of = pod(**changes)
    seen = world(of, reading(of, document(device=device)))
    ((found, _),) = new_starts(seen, resolved(), LATER)
    assert found == key


def test_a_gpu_start_without_a_document_has_an_unknown_device() -> None:
    seen = world(READY, reading(READY, failures=2))
    ((key, _),) = new_starts(seen, resolved(gpu={"count": 1}), LATER)
    assert key.device == "unknown"


def test_own_starts_are_those_of_the_pods_that_are_there() -> None:
    filed = record(profile(9.0), start(2.09, pod().container_id))
    (own,) = own_starts(world(pod(), profiles=(filed,)), IMAGE_CPU)
    assert own.measured_at == NOW + timedelta(milliseconds=2090)


@pytest.mark.parametrize(
    ("reference", "repository", "tag", "digest"),
    [
        ("a", "a", "", ""),
        ("a:1", "a", "1", ""),
        ("r:5000/a", "r:5000/a", "", ""),
        ("r:5000/a:1", "r:5000/a", "1", ""),
        ("a:1@sha256:b", "a", "1", "sha256:b"),
    ],
)
def test_a_reference_is_taken_apart(reference: str, repository: str, tag: str, digest: str) -> None:
    found = parse(reference)
    assert (found.repository, found.tag, found.digest) == (repository, tag, digest)
    assert digest_of(f"x@sha256:{DIGEST}") == DIGEST


# Which documents are read.


def due(of: PodView, read: DocumentReading | None = None, center: float = 2.0, **changes: Any):
    found = scrapes(world(of, read, **changes), 8081, center, LATER)
    return [(scrape.due_at - NOW).total_seconds() for scrape in found]


LOADING = document(state=DocumentState.LOADING, init_seconds=None)
KNOWN = record(Profile(start_key()), start(2.09, pod().container_id))
WARNED = document(warnings=(("a", "b"),))


def test_a_container_that_just_started_is_read_at_once() -> None:
    (scrape,) = scrapes(world(pod()), 8081, 2.0, LATER)
    assert (scrape.container_id, scrape.pod_ip, scrape.port) == (
        "containerd://invoices-5d8f-aaaaa",
        "10.0.0.7",
        8081,
    )
    assert scrape.due_at == LATER


@pytest.mark.parametrize(("center", "again"), [(2.0, 5.0), (38.0, 6.8), (600.0, 63.0)])
def test_a_loading_container_is_read_every_tenth_of_a_start(center: float, again: float) -> None:
    assert due(pod(), reading(pod(), LOADING), center) == [again]


@pytest.mark.parametrize(("failures", "again"), [(1, 5.0), (2, 7.0), (4, 19.0), (20, 303.0)])
def test_a_container_that_does_not_answer_is_read_ever_less(failures: int, again: float) -> None:
    assert due(pod(), reading(pod(), failures=failures)) == [again]


def test_a_ready_pod_is_read_once_more_at_once() -> None:
    before = reading(READY, LOADING, read_at=NOW + seconds(2))
    assert due(READY, before) == [30.0]
    assert due(READY) == [30.0]
    assert due(READY, reading(READY, failures=1)) == [5.0]


NOT_READ: dict[str, tuple[PodView, DocumentReading | None, dict[str, Any]]] = {
    "its document is known": (READY, reading(READY, document()), {}),
    "its start is known": (READY, None, {"profiles": (KNOWN,)}),
    "it has no document": (READY, reading(READY, failures=8), {}),
    "it is not running": (pod(started_at=None), None, {}),
    "it is being deleted": (pod(deleting=True), None, {}),
    "it has no address": (pod(pod_ip=None), None, {}),
}


@pytest.mark.parametrize(("of", "read", "changes"), NOT_READ.values(), ids=NOT_READ.keys())
def test_a_pod_is_not_read_when(
    of: PodView, read: DocumentReading | None, changes: dict[str, Any]
) -> None:
    assert due(of, read, **changes) == []


def test_a_warning_is_read_again_every_minute() -> None:
    assert due(READY, reading(READY, WARNED)) == [63.0]


def test_after_a_restart_a_degraded_service_is_read_again() -> None:
    warned = {"type": "Degraded", "status": "True", "reason": "SecretMissing", "message": "No."}
    degraded = view(status={"conditions": [warned | {"lastTransitionTime": NOW}]})
    assert due(READY, profiles=(KNOWN,), service=degraded) == [30.0]


@pytest.mark.parametrize(
    ("read", "changes", "again"),
    [
        (reading(READY, document()), {}, 303.0),
        (reading(READY, WARNED), {}, 63.0),
        (reading(READY, failures=1), {"profiles": (KNOWN,)}, 303.0),
        (reading(READY, failures=8), {}, 303.0),
        (None, {"profiles": (KNOWN,)}, 30.0),
    ],
)
def test_a_ready_pod_with_secrets_is_read_on_slowly(
    read: DocumentReading | None, changes: dict[str, Any], again: float
) -> None:
    (scrape,) = scrapes(world(READY, read, **changes), 8081, 2.0, LATER, watched=True)
    assert scrape.due_at == NOW + seconds(again)


# What is recommended from it.


def measured(model: str = "scripted", **fields: Any) -> Simulated:
    """A service that has started once, in 3 s."""
    made = cluster(model, **fields)
    made.reconcile()
    made.start_pods(3.0)
    return made


def test_static_mode_shows_starts_and_does_not_use_them() -> None:
    made = measured(probes={"mode": "Static"})
    assert made.condition("ProbesTuned")["reason"] == "Static"
    startup = made.startup()
    assert (startup["samples"], startup["p50Seconds"], startup["level"]) == (0, 3.0, "prior")
    assert startup["recommended"] == startup["applied"]
    made.edit("scripted", probes={"mode": "Static"}, nodeSelector={"disk": "ssd"})
    made.reconcile()
    assert made.server["startupProbe"]["failureThreshold"] == 381


def test_overrides_win_in_static_mode_too() -> None:
    made = cluster("scripted", probes={"mode": "Static", "startup": {"failureThreshold": 9}})
    made.reconcile()
    assert made.server["startupProbe"]["failureThreshold"] == 9
    assert made.startup()["applied"]["budgetSeconds"] == 8


def test_another_image_starts_from_the_prior() -> None:
    made = measured()
    made.edit("scripted", image={"tag": "next"})
    made.reconcile()
    assert made.server["startupProbe"]["failureThreshold"] == 381
    assert made.startup()["samples"] == 0
    assert "key" not in made.startup()


def test_the_users_prior_of_the_profile_replaces_the_catalogues() -> None:
    made = measured()
    (key,) = made.profiles
    prior = Prior(3.0, 0.05, "staging", 40, 500.0)
    made.profiles[key] = replace(made.profiles[key], prior=prior)
    made.rollout_restart()
    made.reconcile()
    assert made.startup()["applied"]["budgetSeconds"] == 625


def test_the_largest_budget_of_several_devices_counts() -> None:
    made = measured()
    slow, fast = start_key(device="slow"), start_key(device="fast")
    keys = [replace(k, model="scripted", version="1", digest="a" * 64) for k in (slow, fast)]
    (name,) = made.pods
    again = replace(made.pods[name], name="b", container_id="containerd://b")
    made.pods["b"] = again
    containers = [made.pods[name].container_id, "containerd://b"]
    made.profiles = {
        key: Profile(key, tuple(start(amount, c if n == 9 else f"x{n}") for n in range(10)))
        for key, amount, c in zip(keys, (90.0, 20.0), containers, strict=True)
    }
    made.count()
    made.rollout_restart()
    made.reconcile()
    assert 350 <= made.startup()["applied"]["budgetSeconds"] <= 380
    assert made.startup()["key"]["device"] == "slow"
    del made.pods[name]
    made.count()
    made.wait(2000)
    made.reconcile()
    assert made.startup()["key"]["device"] == "slow", "the pod is gone, its device is not"


def test_a_pushed_tag_supersedes_what_it_was() -> None:
    made = measured()
    (name,) = made.pods
    made.pods[name] = replace(
        made.pods[name], container_id="containerd://new", image_id="x@sha256:" + "b" * 64
    )
    made.read(name, document(model="scripted", version="1", init_seconds=2.5))
    made.wait(700)
    made.reconcile()
    assert made.startup()["key"]["digest"] == "b" * 64
    assert made.startup()["samples"] == 1


def test_another_cpu_limit_is_another_key() -> None:
    made = measured(resources={"limits": {"cpu": "2"}})
    assert made.startup()["key"]["cpuLimit"] == "2"
    made.edit("scripted", resources={"limits": {"cpu": "500m"}})
    made.reconcile()
    assert made.server["startupProbe"]["failureThreshold"] == 381


def test_phases_are_medians_in_the_order_of_the_newest_start() -> None:
    made = measured()
    (key,) = made.profiles
    older = start(4.0, "older", NOW - timedelta(hours=1), phases={"load_model": 0.75, "gone": 1.0})
    made.profiles[key] = record(made.profiles[key], older)
    made.edit("scripted", replicas=1, suspend=True)
    made.reconcile()
    phases = made.startup()["phases"]
    assert list(phases) == ["process", "import", "load_model", "warmup"]
    assert phases["load_model"] == 0.5


def test_a_clock_far_ahead_is_not_waited_for() -> None:
    made = cluster()
    made.reconcile()
    (name,) = made.roll()
    made.reconcile()
    made.pods[name] = ready(made.pods[name], made.now + timedelta(hours=1))
    made.count()
    decision = made.reconcile()
    assert made.condition("Ready")["status"] == "True"
    assert decision.requeue_at is None


def test_an_unread_document_delays_ready_by_four_seconds_at_most() -> None:
    made = cluster()
    made.reconcile()
    (name,) = made.roll()
    made.wait(3)
    made.make_ready(name)
    decision = made.reconcile()
    assert made.condition("Ready")["status"] == "False"
    assert decision.requeue_at == made.now + seconds(4)
    made.now = decision.requeue_at
    made.reconcile()
    assert made.condition("Ready")["status"] == "True"
    assert made.startup()["samples"] == 0
    made.read(name, failures=2)
    made.reconcile()
    assert made.startup()["samples"] == 1
    assert made.startup()["lastSeconds"] == 3.0


def test_the_image_and_the_namespace_are_what_the_tests_say() -> None:
    assert resolved().image == IMAGE_CPU
    assert resolved().key == KEY
