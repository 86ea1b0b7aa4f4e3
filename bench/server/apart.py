"""What has to run in a process of its own, so that it neither delays nor is delayed by the load."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any

from processes import kept_waiting
from vlm_stub import vlm_stub

_START_S = 60.0


@dataclass
class Probing:
    """Seconds and statuses by route."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, list[int]] = field(default_factory=dict)
    kept_waiting_s: float = 0.0
    """How long the prober itself was ready to run and others had the cores."""


@contextmanager
def probed(port: int, routes: Sequence[str], every_s: float) -> Iterator[Probing]:
    """Ask one route after the other, each on a connection of its own, as a kubelet does."""
    probing = Probing()
    with _process(_probe, port, tuple(routes), every_s) as pipe:
        # Its imports take a second of a core: not from what is measured.
        _started(pipe)
        yield probing
        pipe.send("end")
        found: Probing = pipe.recv()
    vars(probing).update(vars(found))


@contextmanager
def vlm_stub_apart(latency_s: float) -> Iterator[str]:
    """The URL of a stub that takes so long for every block."""
    with _process(_serve_stub, latency_s) as pipe:
        url: str = _started(pipe)
        yield url
        pipe.send("end")


@contextmanager
def _process(target: Any, *arguments: Any) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield ours
        process.join(_START_S)
    finally:
        ours.close()
        if process.is_alive():
            process.kill()
        process.join()
        process.close()


def _started(pipe: Connection) -> Any:
    """What the process says first."""
    assert pipe.poll(_START_S), "the process did not start"
    return pipe.recv()


def _probe(pipe: Connection, port: int, routes: Sequence[str], every_s: float) -> None:
    probing = Probing()
    pipe.send("ready")
    waited = kept_waiting()
    while True:
        for route in routes:
            if pipe.poll(every_s):
                probing.kept_waiting_s = kept_waiting() - waited
                pipe.send(probing)
                return
            began = time.perf_counter()
            status = _status(port, route)
            probing.seconds.setdefault(route, []).append(time.perf_counter() - began)
            probing.statuses.setdefault(route, []).append(status)


def _status(port: int, route: str) -> int:
    """0 where no answer came."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", route)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError:
        return 0
    finally:
        connection.close()


def _serve_stub(pipe: Connection, latency_s: float) -> None:
    with vlm_stub() as stub:
        stub.latency = latency_s
        stub.text = lambda _prompt, count: f"The words of block number {count}."
        pipe.send(stub.url)
        pipe.recv()
