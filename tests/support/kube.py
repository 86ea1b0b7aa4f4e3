"""Fixtures that start a Kubernetes of the test bed: its API server alone, or the whole of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STATE = Path("/run/ocr-testbed")

# A first run also builds Kubernetes.
UP_TIMEOUT_SECONDS = 3600
# Names a cluster that is up already and stays so: for whoever runs one test again and again.
EXISTING = "OCR_TEST_CLUSTER"


@dataclass(frozen=True)
class Kube:
    name: str
    kubeconfig: Path
    kubectl_path: Path
    audit_log: Path

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """What kubectl wrote; a failure is an AssertionError with what it said."""
        done = subprocess.run(
            [self.kubectl_path, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=os.environ | {"NO_PROXY": "*"},
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def audit(self, user: str | None = None) -> list[dict[str, Any]]:
        """All writes so far, or those of one user. A write is recorded just after its answer."""
        with self.audit_log.open() as log:
            entries = [json.loads(line) for line in log if line.endswith("\n")]
        return [entry for entry in entries if user in (None, entry["user"]["username"])]


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Kube]:
    """etcd and kube-apiserver: no controllers, so nothing but the test acts on what it writes."""
    need_root()
    with running("control-plane", f"test-api-{os.getpid()}") as kube:
        yield kube


@pytest.fixture(scope="session")
def cluster() -> Iterator[Kube]:
    """A node with pods, Services, names and all controllers."""
    need_root()
    if name := os.environ.get(EXISTING):
        run_testbed("up", "--name", name, timeout=UP_TIMEOUT_SECONDS)
        yield kube_of(name)
        return
    with running("up", f"test-{os.getpid()}") as kube:
        yield kube


@contextmanager
def running(command: str, name: str) -> Iterator[Kube]:
    remove_orphans()
    try:
        run_testbed(command, "--name", name, timeout=UP_TIMEOUT_SECONDS)
        yield kube_of(name)
    finally:
        run_testbed("down", "--name", name)


def run_testbed(*arguments: str, timeout: float = 120) -> str:
    """What the command wrote to stdout; its progress goes to the output of the test."""
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"testbed {' '.join(arguments)} failed; see its output"
    return done.stdout


def kube_of(name: str) -> Kube:
    known = json.loads((STATE / name / "env.json").read_text())
    return Kube(
        name=name,
        kubeconfig=Path(known["kubeconfig"]),
        kubectl_path=Path(known["binaries"]["kubectl"]),
        audit_log=Path(known["audit_log"]),
    )


def remove_orphans() -> None:
    """A test run that was killed left its clusters behind; they would hold memory for ever."""
    for name in run_testbed("list").split():
        owner = re.fullmatch(r"test-(?:[a-z]+-)?(\d+)", name)
        if owner and not Path("/proc", owner[1]).exists():
            run_testbed("down", "--name", name)


def need_root() -> None:
    if os.geteuid() == 0:
        return
    reason = "the test bed makes namespaces, which needs root"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
