"""The real server as a process of its own, for tests: `with running_server(...) as server:`."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

PATIENCE_S = 60.0
"""For anything on a busy machine; what a test measures, it measures itself."""


@dataclass
class OcrServer:
    process: subprocess.Popen[bytes]
    port: int
    home: Path
    http: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def read(self, document: bytes, **options: Any) -> httpx.Response:
        """`POST /ocr` with one file."""
        name = options.pop("name", "page.png")
        return self.http.post("/ocr", files={"file": (name, document)}, **options)

    def submit(self, document: bytes, **options: Any) -> httpx.Response:
        """`POST /v1/jobs` with one file."""
        return self.http.post("/v1/jobs", files={"file": ("a.pdf", document)}, **options)

    def submitted(self, document: bytes, **options: Any) -> str:
        """The path of a new job."""
        answer = self.submit(document, **options)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["Location"])

    def child(self, role: str) -> int | None:
        """The process ID of a child with this role."""
        return next(iter(self.children(role)), None)

    def children(self, role: str) -> list[int]:
        """The process IDs of the children with this role."""
        found = []
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                if f"PPid:\t{self.pid}\n" not in status.read_text():
                    continue
                command = (status.parent / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if role.encode() in command and b"ocr_inference.engine.child" in command:
                found.append(int(status.parent.name))
        return found

    def metric(self, line: str) -> float:
        """The value of the metric that begins with `line`."""
        for entry in self.get("/metrics").text.splitlines():
            if entry.startswith(line):
                return float(entry.rpartition(" ")[2])
        return 0.0

    def pages_given(self) -> int:
        """How many pages the scripted engine was given, by its own count."""
        counted = (json.loads(path.read_text()) for path in self.home.glob("cache/scripted-*.json"))
        return sum(count.get("pages", 0) for count in counted)

    def wait_ready(self) -> None:
        self.wait_for(lambda: self.get("/readyz").status_code == 200)

    def wait_for(self, condition: Any, seconds: float = PATIENCE_S) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not in {seconds} s\n{self.log[-4000:]}"
            time.sleep(0.05)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_S)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    @property
    def left_behind(self) -> list[str]:
        """Files in the server's temporary directory, but for the locks."""
        return [
            path.name
            for path in (self.home / "tmp").rglob("*")
            if path.is_file() and path.name != "lock"
        ]


@contextmanager
def running_server(
    home: Path,
    script: Mapping[str, Any] | None = None,
    ready: bool = True,
    prefix: Sequence[str] = (),
    **settings: Any,
) -> Iterator[OcrServer]:
    """A server with the scripted model (or another) on a free port of the loopback address."""
    server = start_server(home, script, prefix, **settings)
    try:
        server.wait_for(lambda: _answers(server))
        if ready:
            server.wait_ready()
        yield server
    finally:
        server.http.close()
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


def start_server(
    home: Path,
    script: Mapping[str, Any] | None = None,
    prefix: Sequence[str] = (),
    **settings: Any,
) -> OcrServer:
    for name in ("tmp", "cache", "output"):
        (home / name).mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OCR_")},
        "OCR_HOST": "127.0.0.1",
        "OCR_PORT": str(port),
        "OCR_MODEL": "scripted",
        "OCR_SCRIPT": json.dumps(script or {}),
        "OCR_CACHE_DIR": str(home / "cache"),
        "OCR_OUTPUT_DIR": str(home / "output"),
        "OCR_LAME_DUCK_S": "0.5",
        "TMPDIR": str(home / "tmp"),
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    # An image has its libraries compiled; compiling them anew in every start is not what is tested.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "ocr_inference", "serve"],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home,
        )
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False)
    return OcrServer(process, port, home, http)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of an answer that is no success."""
    return answer.status_code, answer.json()["error"]["code"]


def small_disk(folder: Path, size: str, options: str = "rw") -> tuple[str, ...]:
    """A prefix for a server that sees a file system of this size at `folder`."""
    mount = 'mount -t tmpfs -o "size=$1,$2" tmpfs "$0" && shift 2 && exec "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder), size, options)


def memory_limit(count: int) -> tuple[str, ...]:
    """A prefix for a server that is told of a container's limit of so many bytes."""
    told = (
        'mount -t tmpfs tmpfs /sys/fs/cgroup && echo "$0" >/sys/fs/cgroup/memory.max && exec "$@"'
    )
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", told, str(count))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def picture(width: int = 40, height: int = 30, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, kind, **options)
    return buffer.getvalue()


def pdf(pages: int, side: int = 100) -> bytes:
    """A PDF with so many empty pages of `side` points."""
    import pypdfium2

    document = pypdfium2.PdfDocument.new()
    for _ in range(pages):
        document.new_page(side, side)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def _answers(server: OcrServer) -> bool:
    assert server.process.poll() is None, server.log
    try:
        return server.get("/livez").status_code == 200
    except httpx.TransportError:
        return False
