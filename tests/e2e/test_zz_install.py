"""Installing again: the chart leaves the CRDs and the services when it goes, and takes them back.

Named to run last, because it takes the operator away that the other tests use.
"""

from __future__ import annotations

from e2e_fixtures import install
from kubeapi import wait_for
from world import RELEASE, ROOT, SYSTEM, Room


def test_a_reinstall_under_another_name_keeps_the_services(room: Room) -> None:
    world = room.world
    room.scripted("invoices")
    room.wait_ready("invoices")
    pods = {pod["metadata"]["uid"] for pod in room.pods("invoices")}

    world.helm("uninstall", RELEASE, "--namespace", SYSTEM, "--wait")
    assert room.service("invoices")["status"]["url"], "the CRD went with the chart"
    assert {pod["metadata"]["uid"] for pod in room.pods("invoices")} == pods

    install(world, "another", "--take-ownership")
    room.wait_condition("invoices", "Ready", "True")
    world.helm("uninstall", "another", "--namespace", SYSTEM, "--wait")

    world.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    install(world, RELEASE, "--set", "crds.install=false")
    room.scripted("second")
    room.wait_ready("second")
    assert {pod["metadata"]["uid"] for pod in room.pods("invoices")} == pods
    wait_for("the operator", world.operator_pod)
