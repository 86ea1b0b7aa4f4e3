"""The operator as a process: the real program, its real settings, signals and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from kubeapi import wait_for

SYSTEM = "ocr-system"
IMAGE = "registry.test/ocr-inference:cpu-1.0"
STOP_SECONDS = 30
"""What the kubelet gives a pod."""


class OperatorProcess:
    """Started at once; `logs` has every line it wrote."""

    def __init__(self, kubeconfig: Path, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self._log = folder / f"operator-{self.port}.log"
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("OCR_OPERATOR_") and "proxy" not in name.lower()
        }
        given = {
            "NAMESPACE": SYSTEM,
            "KUBECONFIG": str(kubeconfig),
            "IMAGE_CPU": IMAGE,
            "HTTP_PORT": str(self.port),
            "LOG_LEVEL": "INFO",
            **{name.upper(): value for name, value in settings.items()},
        }
        environment |= {f"OCR_OPERATOR_{name}": value for name, value in given.items()}
        # Compiled once, as in the image: importing sources takes three seconds.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir(), "ocr-operator-pyc"))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ocr_operator"], env=environment, stderr=log, stdout=log
            )

    def ready(self) -> bool:
        assert self.process.poll() is None, f"the operator has ended:\n{self.text()}"
        return self.get("/readyz") == 200

    def get(self, path: str) -> int | None:
        try:
            return httpx.get(self._url(path), trust_env=False, timeout=5).status_code
        except httpx.TransportError:
            return None

    def page(self, path: str) -> str:
        return httpx.get(self._url(path), trust_env=False, timeout=5).text

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """As a node that loses its power."""
        self.process.kill()
        self.process.wait()

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    def text(self) -> str:
        return self._log.read_text()

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]

    def said(self, text: str) -> bool:
        return text in self.text()

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def operator(kubeconfig: Path, folder: Path, **settings: str) -> Iterator[OperatorProcess]:
    """An operator that is ready; killed at the end if it still runs."""
    with starting(kubeconfig, folder, **settings) as process:
        wait_for("the operator to be ready", process.ready, 60)
        yield process


@contextmanager
def starting(kubeconfig: Path, folder: Path, **settings: str) -> Iterator[OperatorProcess]:
    """An operator that may never be ready."""
    process = OperatorProcess(kubeconfig, folder, **settings)
    try:
        yield process
    except BaseException:
        # The reason is hardly ever in the test.
        print(process.text()[-20_000:])
        raise
    finally:
        if process.process.poll() is None:
            process.kill()


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
