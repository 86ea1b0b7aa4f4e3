"""The built kubectl, acting as the user `testbed`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from testbed.layout import Cluster
from testbed.process import TestbedError, run

# The API server is reached directly: a proxy in the caller's environment knows nothing of it.
DIRECT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}


class Kubectl:
    def __init__(self, cluster: Cluster, binary: Path) -> None:
        self.cluster = cluster
        self.argv: list[str | Path] = [binary, f"--kubeconfig={cluster.state / 'testbed.conf'}"]

    def __call__(self, *arguments: str, timeout: float = 60, stdin: str | None = None) -> str:
        return run([*self.argv, *arguments], timeout=timeout, stdin=stdin, env=DIRECT)

    def apply(self, objects: list[dict[str, Any]]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        # For a validation the server would first have to write its OpenAPI, which takes seconds
        # while everything else is starting.
        quickly = ["--server-side", "--validate=false", "--filename=-"]
        quickly = ["--server-side", "--validate=false"]
        self("apply", *quickly, "--filename=-", stdin=json.dumps(items))

    def ready(self) -> bool:
        try:
            return self("get", "--raw", "/readyz", "--request-timeout=5s", timeout=10) == "ok"
        except TestbedError:
            return False


def wait_until_ready(kubectl: Kubectl, deadline: float) -> None:
    """Returns when the API server answers; a component that dies meanwhile is an error at once."""
    while not kubectl.ready():
        ended = (kubectl.cluster.logs / "init.log").read_text()
        if ended or time.monotonic() > deadline:
            raise TestbedError(f"the API server does not get ready\n{ended}")
        time.sleep(0.1)
