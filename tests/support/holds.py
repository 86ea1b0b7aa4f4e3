"""The hold: how long a ready pod stays out of traffic, beside published probe tables."""

from __future__ import annotations

import copy
import re
import statistics
import time
from datetime import datetime

from kubeapi import Json, condition, wait_for
from world import Room

TWELVE_SECONDS = {
    "phases": [{"name": "import", "seconds": 1}, {"name": "load_model", "seconds": 10.5}]
}
PUBLISHED_TABLES: dict[str, Json] = {
    "readiness delay 90 s, period 15 s": {
        "startupProbe": None,
        "readinessProbe": {"initialDelaySeconds": 90, "periodSeconds": 15},
    },
    "startup period 15 s": {
        "startupProbe": {"initialDelaySeconds": 0, "periodSeconds": 15, "failureThreshold": 40},
        "readinessProbe": {"initialDelaySeconds": 0, "periodSeconds": 15},
    },
}
"""Probe tables of a published PaddleOCR-VL deployment, as a person copies them."""


OURS = "ours"
READINESS_DELAY = "readiness delay 90 s, period 15 s"


def measure_holds(room: Room, replicas: int, of_tables: int = 1) -> dict[str, list[float]]:
    """Seconds of hold for each pod, by table; all pods start at the same time: so many with our
    probes, so many with each published table."""
    room.scripted("ours", TWELVE_SECONDS, replicas=replicas)
    wait_for("the Deployment", lambda: room.api.find("deployments", room.namespace, "ours"))
    names = {"ours": OURS}
    for number, (table, probes) in enumerate(PUBLISHED_TABLES.items()):
        names[f"table-{number}"] = table
        room.api.create(
            "deployments", room.namespace, static_deployment(room, number, probes, of_tables)
        )
    expected = {name: replicas if name == "ours" else of_tables for name in names}
    holds = watch_holds(room, expected, timeout=180)
    return {names[name]: seconds for name, seconds in holds.items()}


def holds_table(holds: dict[str, list[float]]) -> str:
    rows = [f"{'probes':36} {'pods':>4} {'hold mean':>10} {'max':>7}   (12 s start)"]
    rows += [
        f"{table:36} {len(seconds):4} {statistics.mean(seconds):8.1f} s {max(seconds):5.1f} s"
        for table, seconds in holds.items()
    ]
    return "\n".join(rows)


def static_deployment(room: Room, number: int, probes: Json, replicas: int) -> Json:
    """Our own pod with a published table in the place of our probes."""
    ours = room.deployment("ours")
    labels = {"app": f"table-{number}", "app.kubernetes.io/instance": f"table-{number}"}
    template = copy.deepcopy(ours["spec"]["template"])
    template["metadata"] = {"labels": labels}
    container = template["spec"]["containers"][0]
    del container["livenessProbe"]
    for kind, timing in probes.items():
        if timing is None:
            del container[kind]
        else:
            container[kind] = {"httpGet": {"path": "/readyz", "port": 8081}, **timing}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"table-{number}", "namespace": room.namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def watch_holds(room: Room, replicas: dict[str, int], timeout: float) -> dict[str, list[float]]:
    """Seconds from the log line that ends a pod's init to the first sight of the pod as Ready."""
    seen: dict[str, dict[str, float]] = {name: {} for name in replicas}

    def all_ready() -> bool:
        for name in replicas:
            for pod in room.pods(name):
                ready = condition(pod, "Ready")["status"] == "True"
                if ready and pod["metadata"]["name"] not in seen[name]:
                    seen[name][pod["metadata"]["name"]] = time.time()
        return all(len(seen[name]) == count for name, count in replicas.items())

    wait_for(f"{replicas} Ready", all_ready, timeout, every=0.1)
    return {
        name: [at - init_end(room, pod) for pod, at in pods.items()] for name, pods in seen.items()
    }


def init_end(room: Room, pod: str) -> float:
    """When the server logged that its engine is ready, seconds since the epoch."""
    for line in room.kubectl("logs", pod, "--timestamps").splitlines():
        stamp, _, text = line.partition(" ")
        if "engine ready" in text:
            # The runtime writes nanoseconds, datetime takes microseconds.
            return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", stamp)).timestamp()
    raise AssertionError(f"{pod} did not log that its engine is ready")
