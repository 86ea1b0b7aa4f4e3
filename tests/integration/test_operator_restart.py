"""The operator ends and comes back: gently, by force, in the middle of work, and into a changed
world."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from kube import Kube
from kubeapi import condition, wait_for
from operator_process import SYSTEM, operator, starting
from operator_stage import Room, Site, a_room, installed, profiles

from ocr_operator.startup.profile import Profile, profile_manifest, record
from ocr_operator.startup.sample import Source, Start, StartKey

BURST = 20


@pytest.fixture(scope="module")
def site(control_plane: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with installed(control_plane, tmp_path_factory.mktemp("operator")) as site:
        yield site


@pytest.fixture
def room(site: Site) -> Iterator[Room]:
    with a_room(site) as room:
        yield room


def test_a_restart_writes_nothing(site: Site, room: Room) -> None:
    with operator(site.kubeconfig, site.folder) as first:
        for name in ("a", "b", "c"):
            room.create(name)
            room.make_ready(name)
        assert room.quiet_for(5) == []
        begun = time.monotonic()
        assert first.terminate() == 0
        print(f"\nended {time.monotonic() - begun:.2f} s after SIGTERM")
    before = len(site.kube.audit())
    begun = time.monotonic()
    with operator(site.kubeconfig, site.folder) as second:
        print(f"ready {time.monotonic() - begun:.2f} s after its start")
        time.sleep(5)
        assert [entry for entry in site.kube.audit()[before:] if "ocr-operator" in str(entry)] == []
        assert second.rss_mib() < 160


def test_a_kill_in_the_middle_of_a_burst_is_made_up_for(site: Site, room: Room) -> None:
    names = [f"burst-{number}" for number in range(BURST)]
    with operator(site.kubeconfig, site.folder) as first:
        for name in names[: BURST // 2]:
            room.create(name)
        wait_for("the first of them", lambda: room.api.list("deployments", room.namespace))
        first.kill()
    for name in names[BURST // 2 :]:
        room.create(name)
    with operator(site.kubeconfig, site.folder):
        begun = time.monotonic()
        room.await_children(*names)
        print(
            f"\nall {BURST} have their children {time.monotonic() - begun:.2f} s after the restart"
        )
        uids = {name: room.service(name)["metadata"]["uid"] for name in names}
        for plural in ("deployments", "services"):
            for name in names:
                [owner] = room.child(plural, name)["metadata"]["ownerReferences"]
                assert owner["uid"] == uids[name]
        wait_for("their status", lambda: all("status" in room.service(name) for name in names))
    assert max(room.writes().count(write) for write in set(room.writes())) <= 2


def test_what_was_deleted_while_it_was_away_stays_deleted(site: Site, room: Room) -> None:
    with operator(site.kubeconfig, site.folder) as first:
        room.create()
        room.await_children()
        first.terminate()
    room.api.delete("ocrservices", room.namespace, "invoices")
    assert room.api.find("ocrservices", room.namespace, "invoices") is None
    for plural in ("deployments", "services"):
        assert room.child(plural)["metadata"]["ownerReferences"][0]["name"] == "invoices"
    before = len(room.writes())
    with operator(site.kubeconfig, site.folder):
        time.sleep(3)
        assert room.writes()[before:] == []


def test_what_changed_while_it_was_away_is_caught_up_with(site: Site, room: Room) -> None:
    with operator(site.kubeconfig, site.folder) as first:
        room.create("edited")
        room.create("drifted")
        room.await_children("edited", "drifted")
        first.terminate()
    room.edit({"replicas": 2}, "edited")
    room.api.patch("deployments", room.namespace, "drifted", {"spec": {"replicas": 7}})
    room.api.delete("services", room.namespace, "drifted")
    with operator(site.kubeconfig, site.folder):
        wait_for("the edit", lambda: room.child(name="edited")["spec"]["replicas"] == 2)
        wait_for("the repair", lambda: room.child(name="drifted")["spec"]["replicas"] == 1)
        room.await_children("drifted")


def test_a_start_survives_the_end_of_the_operator_that_saw_it(site: Site, room: Room) -> None:
    """The second of two starts comes within the five seconds between two writes of a profile."""
    with operator(site.kubeconfig, site.folder) as first:
        for name in ("first", "second"):
            room.create(name)
        pods = []
        for name in ("first", "second"):
            room.await_children(name)
            pods.append(room.playing.run_pod(name))
        for pod in pods:
            pod.become_ready()
        for name in ("first", "second"):
            room.await_ready(name)
        assert first.terminate() == 0
    written = {
        sample["containerID"]
        for profile in profiles(room.api)
        for sample in profile.get("data", {}).get("samples", [])
    }
    assert {f"containerd://{pod.uid}" for pod in pods} <= written


def test_profiles_that_nobody_used_for_long_are_deleted(site: Site) -> None:
    def leave_behind(model: str, days: int) -> str:
        key = StartKey(model, "1", "native", "registry.test/ocr", "e" * 64, "cpu")
        at = datetime.now(UTC) - timedelta(days=days)
        start = Start(f"containerd://{model}", at, 3.0, Source.DOCUMENT, 0.1)
        body = profile_manifest(record(Profile(key), start), SYSTEM)
        return str(site.api.create("ocrstartupprofiles", SYSTEM, body)["metadata"]["name"])

    old, young = leave_behind("old", 365), leave_behind("young", 1)
    with operator(site.kubeconfig, site.folder) as process:
        gone = lambda: not site.api.find("ocrstartupprofiles", SYSTEM, old)  # noqa: E731
        wait_for("the deletion", gone, 10)
        assert site.api.find("ocrstartupprofiles", SYSTEM, young)
        assert "expired" not in process.text()
    site.api.delete("ocrstartupprofiles", SYSTEM, young)


def test_an_api_server_that_is_unknown_is_waited_for(site: Site, room: Room) -> None:
    """And SIGTERM meanwhile is obeyed."""
    broken = site.folder / "broken.conf"
    text = site.kubeconfig.read_text()
    server = next(line for line in text.splitlines() if "server:" in line)
    broken.write_text(text.replace(server, "    server: https://127.0.0.1:1"))
    with starting(broken, site.folder) as process:
        wait_for("the complaint", lambda: process.said("waiting for the API server"), 30)
        assert process.get("/readyz") == 503
        assert process.get("/healthz") == 200
        assert process.terminate() == 0


def test_settings_that_cannot_be_used_end_with_a_sentence(site: Site) -> None:
    with starting(site.kubeconfig, site.folder, namespace="") as process:
        assert process.process.wait(30) == 2
        assert "namespace" in process.text()


def test_only_the_given_namespaces_are_served(
    control_plane: Kube, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With the rights the chart gives in this mode, which are not those of `site`."""
    control_plane.kubectl("delete", "clusterrolebinding", "ocr-operator")
    folder = tmp_path_factory.mktemp("served")
    try:
        with a_room(site) as served, a_room(site) as other:
            values = {"watchNamespaces": [served.namespace]}
            with (
                installed(control_plane, folder, **values) as narrow,
                operator(narrow.kubeconfig, folder, watch_namespaces=served.namespace) as process,
            ):
                other.create()
                served.create()
                served.make_ready()
                time.sleep(2)
                assert "status" not in other.service()
                assert other.writes(counted=False) == []
                assert "forbidden" not in process.text().lower()
                assert condition(served.service(), "Ready")["status"] == "True"
    finally:
        with installed(control_plane, folder):
            pass
