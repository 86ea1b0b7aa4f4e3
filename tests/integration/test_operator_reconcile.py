"""The operator against a real API server: what it makes, repairs, and leaves alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from kube import Kube
from kubeapi import condition, wait_for
from operator_process import SYSTEM, OperatorProcess, operator
from operator_stage import Room, Site, a_room, installed, profiles
from playing import example


@pytest.fixture(scope="module")
def site(control_plane: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installed(control_plane, tmp_path_factory.mktemp("operator")) as site:
        yield site


@pytest.fixture(scope="module")
def running(site: Site) -> Iterator[OperatorProcess]:
    with operator(site.kubeconfig, site.folder) as process:
        yield process
        assert process.terminate() == 0
        problems = [line for line in process.logs() if line["level"] in ("CRITICAL", "ERROR")]
        ours = [line for line in problems if line["logger"].startswith("ocr_operator")]
        assert ours == []


@pytest.fixture
def room(site: Site, running: OperatorProcess) -> Iterator[Room]:
    with a_room(site) as room:
        yield room


def test_a_service_gets_its_children_and_they_go_with_it(room: Room) -> None:
    made = room.create()
    room.await_children()
    for plural in ("deployments", "services"):
        [owner] = room.child(plural)["metadata"]["ownerReferences"]
        assert owner["uid"] == made["metadata"]["uid"]
        assert (owner["kind"], owner["controller"]) == ("OcrService", True)
    assert "finalizers" not in room.service()["metadata"]
    assert "kopf" not in str(room.service()["metadata"])


def test_four_writes_until_ready_and_then_none(room: Room) -> None:
    room.create()
    room.make_ready()
    assert room.quiet_for(6) == []
    writes = room.writes()
    print(f"\nwrites until Ready: {writes}")
    assert len(writes) <= 4
    events = [entry for entry in room.writes(counted=False) if " events " in entry]
    assert len(events) <= 3


def test_starts_of_two_services_are_one_profile(room: Room) -> None:
    for name, seconds in (("first", 3.25), ("second", 4.5)):
        room.create(name)
        room.make_ready(name, seconds)
        wait_for(
            "the measured start",
            lambda name=name: room.service(name)["status"]["startup"].get("lastSeconds"),
        )
    assert room.service("second")["status"]["startup"]["samples"] >= 2

    def measured() -> set[float]:
        [profile] = profiles(room.api)
        assert "prior" not in profile["spec"]
        return {sample["seconds"] for sample in profile["data"]["samples"]}

    wait_for("both in the profile", lambda: {3.25, 4.5} <= measured(), 10)


def test_a_document_is_read_until_the_pod_is_ready_and_then_no_more(room: Room) -> None:
    room.create()
    room.await_children()
    pod = room.playing.run_pod("invoices", example("loading", model="pp-ocr"))
    wait_for("the document to be read again", lambda: pod.server.asked >= 2, 20)
    pod.become_ready()
    room.await_ready()
    time.sleep(1)
    asked = pod.server.asked
    time.sleep(4)
    assert pod.server.asked == asked


def test_a_pod_that_gets_our_label_back_counts_again(room: Room) -> None:
    room.create()
    room.await_children()
    pod = room.playing.run_pod("invoices")
    wait_for("the document to be read", lambda: pod.server.asked)
    for value in (None, "ocr-operator"):
        labels = {"app.kubernetes.io/managed-by": value}
        room.api.patch("pods", room.namespace, pod.name, {"metadata": {"labels": labels}})
    pod.become_ready(2.75)

    def measured() -> bool:
        return bool(room.service()["status"]["startup"].get("lastSeconds") == 2.75)

    wait_for("the measured start", measured)


def test_a_failed_load_is_shown(room: Room) -> None:
    room.create()
    room.await_children()
    pod = room.playing.run_pod("invoices")
    pod.server.document = example("failed", model="pp-ocr")
    wait_for(
        "the reason of the failure",
        lambda: "no weights for" in condition(room.service(), "ModelLoaded")["message"],
    )


@pytest.mark.parametrize("plural", ["deployments", "services"])
def test_a_hand_edit_is_repaired(room: Room, plural: str) -> None:
    room.create()
    room.await_children()
    before = room.child(plural)["spec"]
    edit = {
        "deployments": {"replicas": 3, "template": {"spec": {"terminationGracePeriodSeconds": 1}}},
        "services": {"selector": {"app.kubernetes.io/instance": "another"}},
    }
    room.api.patch(plural, room.namespace, "invoices", {"spec": edit[plural]})
    begun = time.monotonic()
    wait_for("the repair", lambda: room.child(plural)["spec"] == before, every=0.02)
    print(f"\nrepaired after {time.monotonic() - begun:.2f} s")


@pytest.mark.parametrize("plural", ["deployments", "services"])
def test_a_deleted_child_is_made_again(room: Room, plural: str) -> None:
    room.create()
    room.await_children()
    gone = room.child(plural)["metadata"]["uid"]
    room.api.delete(plural, room.namespace, "invoices")
    begun = time.monotonic()
    made = wait_for("the next one", lambda: room.api.find(plural, room.namespace, "invoices"))
    assert made["metadata"]["uid"] != gone
    print(f"\nmade again after {time.monotonic() - begun:.2f} s")


def test_in_a_namespace_that_is_being_deleted_nothing_is_put_back(room: Room) -> None:
    """Its objects go in any order: here nobody collects them, so the OcrService stays for ever."""
    room.create()
    room.make_ready()
    assert room.quiet_for(2) == []
    before = len(room.writes(counted=False))
    room.api.delete("namespaces", None, room.namespace)
    for plural in ("services", "deployments"):
        room.api.delete(plural, room.namespace, "invoices")
    time.sleep(4)
    assert room.writes(counted=False)[before:] == []


def test_what_a_person_removes_from_the_spec_disappears(room: Room) -> None:
    entries = [{"name": "FIRST", "value": "1"}, {"name": "SECOND", "value": "2"}]
    room.create(nodeSelector={"disk": "fast", "zone": "a"}, podTemplate={"env": entries})
    room.await_children()

    def pod_spec() -> dict[str, object]:
        return dict(room.child()["spec"]["template"]["spec"])

    def selected() -> dict[str, str]:
        """Without what the operator adds itself."""
        selector = dict(pod_spec().get("nodeSelector", {}))  # type: ignore[call-overload]
        return {key: value for key, value in selector.items() if "/" not in key}

    def names() -> set[str]:
        [server] = pod_spec()["containers"]  # type: ignore[misc]
        return {entry["name"] for entry in server["env"]}

    assert selected() == {"disk": "fast", "zone": "a"}
    assert {"FIRST", "SECOND"} <= names()
    room.edit({"nodeSelector": {"disk": None}, "podTemplate": {"env": entries[:1]}})
    wait_for("one to disappear", lambda: selected() == {"zone": "a"})
    assert "SECOND" not in names()
    assert "FIRST" in names()
    room.edit({"nodeSelector": None, "podTemplate": None})
    wait_for("all to disappear", lambda: selected() == {})
    assert "FIRST" not in names()


def test_another_ones_deployment_is_not_touched(room: Room) -> None:
    labels = {"app": "theirs"}
    theirs = {
        "metadata": {"name": "invoices", "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "registry.test/theirs"}]},
            },
        },
    }
    before = room.api.create("deployments", room.namespace, theirs)
    room.create()
    wait_for("the conflict", lambda: room.reason() == "NameConflict")
    time.sleep(3)
    assert room.child() == before
    assert room.api.find("services", room.namespace, "invoices") is None
    assert {write.split()[1] for write in room.writes()} == {"ocrservices/status"}
    room.api.delete("deployments", room.namespace, "invoices")
    room.await_children(timeout=30)


def test_what_the_api_server_refuses_is_shown_and_mended_by_an_edit(room: Room) -> None:
    room.create(resources={"requests": {"unheard-of": "1"}})
    refusal = wait_for(
        "the refusal",
        lambda: [
            entry
            for entry in room.service().get("status", {}).get("conditions", [])
            if "unheard-of" in entry["message"]
        ],
    )
    print(f"\n{refusal[0]['type']}/{refusal[0]['reason']}: {refusal[0]['message']}")
    assert condition(room.service(), "Ready")["status"] == "False"
    time.sleep(6)
    writes = room.writes()
    # After 0, 1, 2 and 4 s, and once for the event of our own status.
    assert writes.count("patch deployments invoices") <= 5
    assert writes.count("patch ocrservices/status invoices") == 1
    begun = time.monotonic()
    room.edit({"resources": None})
    wait_for("the Deployment", lambda: room.api.find("deployments", room.namespace, "invoices"))
    assert time.monotonic() - begun < 5


def test_an_unknown_model_is_a_condition_and_not_a_crash(room: Room) -> None:
    room.create(model={"name": "no-such-model"})
    wait_for("the condition", lambda: "no-such-model" in str(room.service().get("status")))
    assert room.api.find("deployments", room.namespace, "invoices") is None


def test_a_successor_of_the_same_name_gets_children_of_its_own(room: Room) -> None:
    room.create()
    room.await_children()
    room.api.delete("ocrservices", room.namespace, "invoices")
    successor = room.create()["metadata"]["uid"]
    # Nobody collects the orphans here: the test is the garbage collector.
    for plural in ("deployments", "services"):
        room.api.delete(plural, room.namespace, "invoices")
    room.await_children(timeout=30)
    for plural in ("deployments", "services"):
        assert room.child(plural)["metadata"]["ownerReferences"][0]["uid"] == successor


def test_metrics_and_health_answer(room: Room, running: OperatorProcess) -> None:
    room.create()
    room.make_ready()
    assert running.get("/healthz") == 200
    page = running.page("/metrics")
    for line in (
        'ocr_operator_api_writes_total{kind="Deployment",verb="apply"}',
        'ocrservice_startup_duration_seconds_count{model="pp-ocr",phase="init"}',
        'ocrservice_reconcile_total{result="changed"}',
        "ocrservice_reconcile_duration_seconds_count",
        "ocr_operator_watch_silent_seconds",
    ):
        assert line in page
    assert 'result="bug"' not in page
    print(f"\nRSS {running.rss_mib():.0f} MiB")


def test_events_are_on_the_object(room: Room) -> None:
    made = room.create()
    room.await_children()

    def of_services() -> list[dict]:
        # The API server has events of its own: of a Service whose address its repair loop misses.
        found = room.api.list("events", room.namespace)
        return [event for event in found if event["regarding"]["kind"] == "OcrService"]

    event = wait_for("an event", of_services)[0]
    assert event["regarding"]["uid"] == made["metadata"]["uid"]
    assert event["reportingController"] == "ocr-operator.dev/ocr-operator"
    assert SYSTEM not in {entry["metadata"]["namespace"] for entry in room.api.list("events")}
