"""The test plays what a bare API server lacks: the Deployment controller, the kubelet, the server.

A pod's address is one of 127.0.0.0/8, where a thread answers `/startupz` as the server would.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

from kubeapi import Api, Json

EXAMPLES = Path(__file__).parents[2] / "contract" / "examples" / "startup.v1"
PORT = 8081
DIGEST = "d" * 64
_addresses = count(10)
_NETWORK = os.getpid() % 250 + 1
"""Of the addresses, so that test processes that run at the same time do not meet."""


def example(name: str, **changes: Any) -> Json:
    """A document of the contract."""
    return {**json.loads((EXAMPLES / f"{name}.json").read_text()), **changes}


class Server:
    """Answers with `document`: 503 while the outcome is open, 200 once it is known."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.asked = 0
        number = next(_addresses)
        self.address = f"127.{_NETWORK}.{number // 250}.{number % 250 + 1}"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                known = outer.document["state"] in ("ready", "failed")
                body = json.dumps(outer.document).encode()
                self.send_response(200 if known else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer((self.address, PORT), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@dataclass
class Playing:
    """The controllers of one namespace."""

    api: Api
    namespace: str
    servers: list[Server] = field(default_factory=list)

    def run_pod(self, name: str, document: Json | None = None, ago: float = 2.5) -> Pod:
        """The Deployment's pod, its container started so many seconds ago and loading."""
        deployment = self.api.get("deployments", self.namespace, name)
        server = Server(document or example("loading", model="pp-ocr"))
        self.servers.append(server)
        template = deployment["spec"]["template"]
        body = {
            "metadata": {
                "name": f"{name}-7d4f9-{len(self.servers)}",
                "labels": {**template["metadata"]["labels"], "pod-template-hash": "7d4f9"},
                "annotations": template["metadata"].get("annotations") or {},
            },
            "spec": template["spec"],
        }
        made = self.api.create("pods", self.namespace, body)
        began = datetime.now(UTC) - timedelta(seconds=ago)
        pod = Pod(self, name, made["metadata"]["name"], server, made["metadata"]["uid"], began)
        pod.show(ready=False)
        self.count_pods(name, ready=0)
        return pod

    def count_pods(self, name: str, ready: int) -> None:
        """What the Deployment controller writes."""
        deployment = self.api.get("deployments", self.namespace, name)
        conditions = [
            {"type": "Available", "status": "True" if ready else "False", "reason": "Counted"},
            {
                "type": "Progressing",
                "status": "True",
                "reason": "NewReplicaSetAvailable" if ready else "ReplicaSetUpdated",
            },
        ]
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": 1,
            "updatedReplicas": 1,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": 1 - ready,
            "conditions": conditions,
        }
        self.api.patch("deployments", self.namespace, name, {"status": status}, "status")

    def close(self) -> None:
        for server in self.servers:
            server.close()


@dataclass
class Pod:
    """One pod; `show` is the kubelet's report."""

    playing: Playing
    service: str
    name: str
    server: Server
    uid: str
    started_at: datetime

    def show(self, *, ready: bool) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        state = {"running": {"startedAt": stamp(self.started_at)}}
        container = {
            "name": "server",
            "image": "registry.test/ocr-inference:cpu-1.0",
            "imageID": f"registry.test/ocr-inference@sha256:{DIGEST}",
            "containerID": f"containerd://{self.uid}",
            "restartCount": 0,
            "started": ready,
            "ready": ready,
            "state": state,
        }
        truth = "True" if ready else "False"
        conditions = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(now)},
            {"type": "ContainersReady", "status": truth, "lastTransitionTime": stamp(now)},
            {"type": "Ready", "status": truth, "lastTransitionTime": stamp(now)},
        ]
        status = {
            "phase": "Running",
            "podIP": self.server.address,
            "podIPs": [{"ip": self.server.address}],
            "conditions": conditions,
            "containerStatuses": [container],
        }
        api = self.playing.api
        api.patch("pods", self.playing.namespace, self.name, {"status": status}, "status")

    def become_ready(self, seconds: float = 2.5) -> None:
        """The server says so, then the kubelet, then the Deployment controller."""
        self.server.document = example("ready", model="pp-ocr", init_seconds=seconds, warnings=[])
        self.show(ready=True)
        # The controllers of ReplicaSets and Deployments hear of it one after the other.
        time.sleep(0.1)
        self.playing.count_pods(self.service, ready=1)


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
