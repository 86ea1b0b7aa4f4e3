"""Half an hour of everything at once: pages, long documents, broken ones, jobs, and clients that
leave. Memory and descriptors stay where they were, and nobody goes without an answer.

`BENCH_SOAK_S` is how many seconds it takes.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from bench.server.apart import probed
from bench.server.load import PATIENCE_S, Post, closed_loop, form, percentile
from bench.server.machine import settle, two_cores
from bench.server.report import at_most, finish, show, sized
from mutations import mutated, valid_documents
from ocr_server import OcrServer, pdf, picture, running_server
from processes import MemoryCurve, family, memory_watched

pytestmark = pytest.mark.timeout(7200)

SECONDS = float(os.environ.get("BENCH_SOAK_S", sized(1800, 30)))
CLIENTS = 6
SCRIPT = {"page_seconds": 0.02}
ROUTES = ("/livez", "/readyz", "/health")
PROBE_EVERY_S = 0.25
SAMPLE_EVERY_S = 2.0

MOST_PROBE_S = 0.1
MOST_GROWTH = 1.1
MOST_MORE_DESCRIPTORS = 8
"""A child that was just replaced has its pipes twice for a moment."""

ANSWERED = {"200", "400", "415", "422"}
"""The broken documents get the last three."""


def test_soak(tmp_path: Path) -> None:
    with two_cores(), running_server(tmp_path, SCRIPT, ocr_header_timeout_s=5) as server:
        _every_kind_once(server)
        settle(server.pid)
        before = descriptors(server.pid)
        with (
            memory_watched(server.pid, SAMPLE_EVERY_S) as memory,
            probed(server.port, ROUTES, PROBE_EVERY_S) as probing,
            _meanwhile(lambda ended: _jobs(server.url, ended)) as jobs,
            _meanwhile(lambda ended: _leavers(server.port, ended)) as leavers,
        ):
            # The posts end; the loop's own end would cut off who still waits.
            posts = _posts(time.monotonic() + SECONDS)
            load = closed_loop(server.url, posts, CLIENTS, SECONDS + PATIENCE_S)
        settle(server.pid)
        server.wait_for(lambda: server.metric("ocr_queue_pages") == 0)
        after, left = descriptors(server.pid), server.left_behind
        restarts = [
            line for line in server.get("/metrics").text.splitlines() if "restarts_" in line
        ]

    early, late = _parts(memory)
    probes = [seconds for found in probing.seconds.values() for seconds in found]
    measured = {
        "seconds": SECONDS,
        "load": {**load.summary(), "seconds": []},
        "jobs": dict(jobs),
        "clients_that_left": leavers["left"],
        "descriptors": {"before": before, "after": after},
        "memory_mib": {"early": early, "late": late, "peak": memory.peak_mib},
        "memory_curve": {"seconds": memory.times, "mib": [size >> 20 for size in memory.sizes]},
        "probe_p99_s": percentile(probes, 99),
        "restarts": restarts,
    }
    hidden = ("load", "memory_curve")
    rows = [{"": key, "measured": str(value)} for key, value in measured.items()]
    show("soak", [row for row in rows if row[""] not in hidden])
    assert left == []
    unexpected = sum(n for status, n in load.statuses.items() if status not in ANSWERED)
    finish(
        __file__,
        "soak",
        measured,
        [
            at_most("answers lost", load.dropped + jobs["lost"], 0),
            at_most("answers of another status", unexpected, 0),
            at_most("memory, late over early", late / early, MOST_GROWTH),
            at_most("descriptors more", after - before, MOST_MORE_DESCRIPTORS),
            at_most("p99 of the probes, s", percentile(probes, 99), MOST_PROBE_S),
        ],
    )


def descriptors(pid: int) -> int:
    """Open files and sockets of the server's processes."""
    total = 0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.num_fds()
    return total


def _posts(until: float) -> Iterator[Post]:
    chance = random.Random(1)
    good = [form("a", document) for kinds in valid_documents().values() for document in kinds]
    long = [form("a.pdf", pdf(pages)) for pages in (5, 20)]
    bad = [form("a", document) for _, document in mutated(300)]
    formats = [
        form("a.png", picture(), output=output) for output in ("text", "markdown", "hocr", "alto")
    ]
    while time.monotonic() < until:
        yield chance.choice(chance.choice((good, good, formats, bad, long)))


def _every_kind_once(server: OcrServer) -> None:
    for post in [form("a", kinds[0]) for kinds in valid_documents().values()] * 5:
        server.http.post(post.path, content=post.body, headers=post.headers)


@contextlib.contextmanager
def _meanwhile(work: Callable[[threading.Event], Iterator[str]]) -> Iterator[Counter[str]]:
    """Run it in a thread until the end of the block, and count what it yields."""
    counts: Counter[str] = Counter()
    ended = threading.Event()

    def run() -> None:
        for outcome in work(ended):
            counts[outcome] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield counts
    finally:
        ended.set()
        thread.join()


def _jobs(url: str, ended: threading.Event) -> Iterator[str]:
    """One job after the other: every second one is read, the others are cancelled at once. All are
    deleted in the end."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:

        def finished(job: str) -> str:
            while True:
                status = str(http.get(f"/v1/jobs/{job}?wait=10").json()["status"])
                if status not in ("queued", "running", "cancelling"):
                    return status

        wanted = "succeeded"
        while not ended.wait(0.2):
            sent = http.post("/v1/jobs", files={"file": ("a.pdf", pdf(5))})
            if sent.status_code != 202:
                yield "lost"
                continue
            job = sent.json()["id"]
            if wanted == "cancelled":
                http.delete(f"/v1/jobs/{job}")
            kept = finished(job) == wanted
            if wanted == "succeeded":
                kept = kept and http.get(f"/v1/jobs/{job}/result").status_code == 200
            deleted = http.delete(f"/v1/jobs/{job}").status_code == 204
            yield wanted if kept and deleted else "lost"
            wanted = "cancelled" if wanted == "succeeded" else "succeeded"


def _leavers(port: int, ended: threading.Event) -> Iterator[str]:
    """Clients that end in their header, in their upload, or while their pages are read."""
    whole = form("a.pdf", pdf(20))
    head = f"POST /ocr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in whole.headers.items()) + "\r\n"
    request = head.encode() + whole.body
    chance = random.Random(2)
    while not ended.wait(0.2):
        cut = chance.choice((0, 20, len(head) + 50, len(request)))
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(request[:cut])
            time.sleep(0.05)
        yield "left"


def _parts(memory: MemoryCurve) -> tuple[float, float]:
    """Median MiB in the second and in the last quarter."""
    quarter = max(1, len(memory.sizes) // 4)
    middle = memory.sizes[quarter : 2 * quarter] or memory.sizes
    return (
        statistics.median(middle) / 2**20,
        statistics.median(memory.sizes[-quarter:]) / 2**20,
    )
