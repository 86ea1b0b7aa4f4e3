"""What the operator writes to the API, by the API server's own audit log."""

from __future__ import annotations

import re
import time
from collections import Counter

from kubeapi import Json, wait_for
from world import OPERATOR_USER, SYSTEM, Room


def written(entries: list[Json]) -> Counter[str]:
    """Resource (with subresource) to number of write requests."""
    names = Counter[str]()
    for entry in entries:
        reference = entry["objectRef"]
        names["/".join(filter(None, (reference["resource"], reference.get("subresource"))))] += 1
    return names


def requests(entries: list[Json]) -> list[str]:
    """Each with its time and its answer: what a failed assertion should show."""
    return [
        f"{e['requestReceivedTimestamp']} {e['requestURI']} {e['responseStatus'].get('code')}"
        for e in entries
    ]


APART = ("events", "ocrstartupprofiles")


def test_four_writes_until_ready_and_none_in_steady_state_or_at_a_restart(room: Room) -> None:
    world = room.world
    begin = world.audit_mark()
    for number in range(20):
        room.scripted(f"service-{number:02}", {"phases": [{"name": "load_model", "seconds": 1}]})
    for number in range(20):
        room.wait_ready(f"service-{number:02}", timeout=240)
    wait_for("quiet", lambda: quiet(room), 60, every=1)
    entries = [e for e in world.audit(OPERATOR_USER, begin) if of(e, room)]
    for number in range(20):
        name = f"service-{number:02}"
        counts = written([e for e in entries if e["objectRef"].get("name", "").startswith(name)])
        children = {kind: count for kind, count in counts.items() if kind not in APART}
        # One that its node starts later than the margin costs a status write more.
        assert sum(children.values()) <= 5, f"{name}: {children}"
    assert len([e for e in entries if e["objectRef"]["resource"] not in APART]) <= 4 * 20
    total = written(world.audit(OPERATOR_USER, begin))
    print(f"\n20 new services until Ready: {dict(total)}")
    notes = Counter(e["regarding"]["name"] for e in room.api.list("events", room.namespace)
                    if e["regarding"]["kind"] == "OcrService")  # fmt: skip
    assert max(notes.values()) <= 3, notes

    steady = world.audit_mark()
    time.sleep(60)
    assert requests(world.audit(OPERATOR_USER, steady)) == []
    print(f"steady state, 20 services, 60 s: 0 writes; operator RSS {operator_rss(room)} MiB")

    restart = world.audit_mark()
    pod = world.operator_pod()["metadata"]["name"]
    world.kubectl("--namespace", SYSTEM, "delete", "pod", pod)
    wait_for("the next operator", world.operator_pod, 60)
    time.sleep(10)
    assert requests(world.audit(OPERATOR_USER, restart)) == []
    print("operator restart: 0 writes")


def of(entry: Json, room: Room) -> bool:
    return bool(entry["objectRef"].get("namespace") == room.namespace)


def quiet(room: Room) -> bool:
    """No write for the 10 s that a profile may wait."""
    mark = room.world.audit_mark()
    time.sleep(10)
    return not room.world.audit(OPERATOR_USER, mark)


def operator_rss(room: Room) -> int:
    status = room.world.kubectl(
        "--namespace", SYSTEM, "exec", "deployment/ocr-operator", "--",
        "python3", "-c", "print(open('/proc/1/status').read())",
    )  # fmt: skip
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024
