"""Pages read through the Services, and each compared with its ground truth."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from rapidfuzz.distance import Levenshtein

from testbed.demo.shell import NAMESPACE, ROOT, Demo, DemoError


@dataclass(frozen=True)
class PageToRead:
    """One page of `examples/pages/` and the service that reads it."""

    service: str
    file: str
    label: str


PAGES = (
    PageToRead("invoices", "letter-en.png", "a printed English page"),
    PageToRead("archive", "article-ru.png", "a Russian page"),
    PageToRead("invoices", "report-2p.pdf", "a two-page PDF"),
)


def read_pages(demo: Demo, key: str) -> None:
    """POST the three pages and compare each with its ground truth."""
    for page in PAGES:
        path = ROOT / "examples" / "pages" / page.file
        with port_forward(demo, page.service) as base:
            answer = httpx.post(
                f"{base}/ocr",
                headers={"Authorization": f"Bearer {key}"},
                files={"file": (page.file, path.read_bytes())},
                timeout=120,
            )
        if answer.status_code != httpx.codes.OK:
            raise DemoError(f"{page.file}: {answer.status_code} {answer.text}")
        body = answer.json()
        truth = path.with_suffix(".txt").read_text(encoding="utf-8")
        error = character_error_rate(truth, body["text"])
        demo.say(
            f"{page.label} ({page.file}) by {body['engine']}: character error rate {error:.2%}"
        )
        first = [line for line in body["text"].splitlines() if line.strip()][:3]
        print("".join(f"          | {line}\n" for line in first), end="")
        if error > 0.01:
            raise DemoError(f"{page.file}: character error rate {error:.2%} is above 1 %")


@contextmanager
def port_forward(demo: Demo, service: str) -> Iterator[str]:
    """`kubectl port-forward` to the Service, as from a laptop; yields the base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            demo.tools["kubectl"], f"--kubeconfig={demo.kubeconfig}", "--namespace", NAMESPACE,
            "port-forward", f"service/{service}", f"{port}:8081",
        ],
        env=demo.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


def wait_for_port(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise DemoError(f"kubectl port-forward does not listen on {port}")


def character_error_rate(truth: str, text: str) -> float:
    """Edits per character of the truth, whitespace collapsed."""
    want, have = " ".join(truth.split()), " ".join(text.split())
    return Levenshtein.distance(want, have) / len(want)
