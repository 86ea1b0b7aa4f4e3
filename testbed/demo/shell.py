"""One run of the demo: where its tools and its cluster are, and how it runs a command."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "ocr-demo"
SYSTEM_NAMESPACE = "ocr-system"
CLUSTER = "demo"


class DemoError(Exception):
    """A step failed; the message says which and what it printed last."""


class Demo:
    """The state of one run: where kubectl and helm are, which cluster, how long it has taken."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.began = time.monotonic()
        self.kubeconfig = Path(arguments.cluster) if arguments.cluster else Path()
        # Nobody's cluster is touched by accident: what names one outside reaches no command.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name != "KUBECONFIG" and not name.startswith("HELM_")
        }
        self.tools: dict[str, str] = {}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.began:5.0f} s] {text}", flush=True)

    def run(self, *command: str, stdin: str = "", show: bool = False) -> str:
        """Run a command and return its output. Raises `DemoError` with its last lines."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(((done.stderr or "") + done.stdout).strip().splitlines()[-15:])
            raise DemoError(f"{shlex.join(command)}\nended with {done.returncode}:\n{tail}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.run(
            self.tools["kubectl"], f"--kubeconfig={self.kubeconfig}", *arguments, stdin=stdin
        )

    def testbed(self, *arguments: str, show: bool = True) -> str:
        # The test bed runs on the system's Python, without the development environment.
        return self.run("python3", "-m", "testbed", *arguments, show=show)
