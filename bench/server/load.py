"""Requests from many clients at a time, and how long each took.

One process and one event loop; bodies are made before. What it takes of a core is told with every
load, because it is taken from the server that is measured.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Post:
    """A request with its body as it crosses. `name` says which document it is."""

    name: str
    path: str
    body: bytes
    headers: dict[str, str]


def form(
    name: str, document: bytes, path: str = "/ocr", field: str = "file", **fields: str
) -> Post:
    """A multipart form with one file, never answered from a cache."""
    made = httpx.Request("POST", "http://x", files={field: (name, document)}, data=fields)
    headers = {"Content-Type": made.headers["content-type"], "Cache-Control": "no-store"}
    return Post(name, path, made.read(), headers)


@dataclass(frozen=True, slots=True)
class Sample:
    """`began` is in seconds from the beginning of the load."""

    name: str
    began: float
    seconds: float
    status: int
    body: bytes


@dataclass
class Load:
    wall_s: float = 0.0
    own_cores: float = 0.0
    """CPU time of the load generator for each second."""
    samples: list[Sample] = field(default_factory=list)
    dropped: int = 0
    """Requests without an answer: still in work at the end, or their connection was lost."""

    def seconds(self, status: int = 200) -> list[float]:
        return [sample.seconds for sample in self.samples if sample.status == status]

    @property
    def per_second(self) -> float:
        return len(self.seconds()) / self.wall_s

    @property
    def statuses(self) -> dict[str, int]:
        return dict(Counter(str(sample.status) for sample in self.samples))

    def summary(self) -> dict[str, Any]:
        return {
            "wall_s": round(self.wall_s, 3),
            "statuses": self.statuses,
            "dropped": self.dropped,
            "load_generator_cores": round(self.own_cores, 3),
            "seconds": [round(seconds, 4) for seconds in self.seconds()],
        }


def percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def closed_loop(url: str, posts: Iterable[Post], clients: int, until_s: float = PATIENCE_S) -> Load:
    """So many clients, each with one request at a time, until the posts or the seconds end."""
    return asyncio.run(_measured(url, _closed(iter(posts), clients), until_s))


def open_loop(url: str, post: Post, per_second: float, seconds: float) -> Load:
    """Requests at a fixed rate, whether the ones before were answered or not."""
    return asyncio.run(_measured(url, _open(post, per_second, seconds), seconds + PATIENCE_S))


def over_and_over(posts: Sequence[Post], count: int | None = None) -> Iterator[Post]:
    return itertools.islice(itertools.cycle(posts), count)


class _Run:
    def __init__(self, http: ClientSession) -> None:
        self.load = Load()
        self._http = http
        self._began = time.perf_counter()

    async def send(self, post: Post) -> None:
        began = time.perf_counter()
        try:
            body = io.BytesIO(post.body)
            async with self._http.post(post.path, data=body, headers=post.headers) as answer:
                status, text = answer.status, await answer.read()
        except (ClientError, asyncio.CancelledError) as error:
            self.load.dropped += 1
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        seconds = time.perf_counter() - began
        sample = Sample(post.name, began - self._began, seconds, status, text)
        self.load.samples.append(sample)


async def _measured(url: str, drive: Any, until_s: float) -> Load:
    # Not httpx: its half of a core at a hundred requests a second would be measured as ours.
    async with ClientSession(
        url, connector=TCPConnector(limit=0), timeout=ClientTimeout(PATIENCE_S)
    ) as http:
        run = _Run(http)
        began, own = time.perf_counter(), time.process_time()
        try:
            async with asyncio.timeout(until_s):
                await drive(run)
        except TimeoutError:
            pass  # the load's time is up; who still waits goes away
        run.load.wall_s = time.perf_counter() - began
        run.load.own_cores = (time.process_time() - own) / run.load.wall_s
    return run.load


def _closed(posts: Iterator[Post], clients: int) -> Any:
    async def client(run: _Run) -> None:
        for post in posts:
            await run.send(post)

    async def drive(run: _Run) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client(run))

    return drive


def _open(post: Post, per_second: float, seconds: float) -> Any:
    async def drive(run: _Run) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
                group.create_task(run.send(post))

    return drive
