"""Reads startup documents from pods: what the plans ask for, a few at a time, one at a time per
container.

A pod answers whatever it likes, so an answer is bounded in time and size, no redirect is followed
and no proxy is asked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
from yarl import URL

from ocr_operator.core.observed import DocumentReading, Key
from ocr_operator.core.plan import Scrape
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.workqueue import WorkQueue
from ocr_operator.startup.sample import Document, parse_document

log = logging.getLogger(__name__)

PARALLEL = 32
"""Readings at a time; each waits at most a second, so 1,000 starting pods are read in half a
minute."""
TIMEOUT_SECONDS = 1.0
"""A pod that does not answer in a second is loading, and will be asked again."""
BODY_LIMIT_BYTES = 64 * 1024
"""The document is about 1 KiB."""
SHORTEST_INTERVAL_SECONDS = 1.0
"""Between two readings of one container, whatever a plan asks for."""
FIRST_INTERVAL_SECONDS = 2.0
"""Between the first reading and the next, should the plan not be asked in between."""
STATUSES = (200, 503)
"""Both carry the document: 503 while the outcome of the start is open."""


class Unreadable(Exception):
    """There is no document in what came back."""


@dataclass(slots=True)
class _Target:
    key: Key
    pod_ip: str
    port: int
    interval: float


class Scraper:
    """The newest reading of each container. The OcrService is looked at again when a reading says
    something new; a container that goes on loading is read on at the interval of its last plan."""

    def __init__(
        self,
        changed: Callable[[Key], None],
        metrics: Metrics,
        now: Callable[[], datetime],
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._changed = changed
        self._metrics = metrics
        self._now = now
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self.queue: WorkQueue[str] = WorkQueue()
        self._targets: dict[str, _Target] = {}
        self._readings: dict[str, DocumentReading] = {}
        self._asked: set[str] = set()
        """Containers whose answer is on its way."""
        self._by_key: dict[Key, set[str]] = {}
        """Containers with a target or a reading."""

    @property
    def readings(self) -> Mapping[str, DocumentReading]:
        """By container ID."""
        return self._readings

    def schedule(self, key: Key, scrapes: Collection[Scrape], alive: Collection[str]) -> None:
        """Read these containers of the OcrService and no others; forget those that are not
        alive."""
        wanted = {scrape.container_id: scrape for scrape in scrapes}
        for container in self._by_key.get(key, set()) - wanted.keys():
            self._targets.pop(container, None)
            self.queue.forget(container)
            if container not in alive:
                self._readings.pop(container, None)
        for container, scrape in wanted.items():
            self._aim(key, scrape)
            self._by_key.setdefault(key, set()).add(container)
        self._by_key[key] = {
            container
            for container in self._by_key.get(key, set())
            if container in self._targets or container in self._readings
        }
        if not self._by_key[key]:
            del self._by_key[key]

    async def run(self, session: aiohttp.ClientSession) -> None:
        """One of `PARALLEL` readers, until the queue is closed."""
        while (container := await self.queue.get()) is not None:
            target = self._targets.get(container)
            if target is not None:
                self._asked.add(container)
                reading = await self._read(session, container, target)
                self._asked.discard(container)
                self._keep(container, target, reading)
            self.queue.done(container)

    def _aim(self, key: Key, scrape: Scrape) -> None:
        container = scrape.container_id
        newest = self._readings.get(container)
        known = self._targets.get(container)
        interval = known.interval if known else FIRST_INTERVAL_SECONDS
        if newest is not None and scrape.due_at > newest.read_at:
            interval = (scrape.due_at - newest.read_at).total_seconds()
        interval = max(interval, SHORTEST_INTERVAL_SECONDS)
        self._targets[container] = _Target(key, scrape.pod_ip, scrape.port, interval)
        if container in self._asked:
            return  # `_keep` goes on from the answer.
        delay = (scrape.due_at - self._now()).total_seconds()
        if newest is not None:
            since = (self._now() - newest.read_at).total_seconds()
            delay = max(delay, SHORTEST_INTERVAL_SECONDS - since)
        self.queue.schedule(container, delay)

    def _keep(self, container: str, target: _Target, reading: DocumentReading) -> None:
        if container not in self._targets:
            return  # The plan lost interest while the answer was on its way.
        before = self._readings.get(container)
        self._readings[container] = reading
        if before is None or reading.document is None or decides(before) != decides(reading):
            self._changed(target.key)
        else:
            self.queue.schedule(container, self._targets[container].interval)

    async def _read(
        self, session: aiohttp.ClientSession, container: str, target: _Target
    ) -> DocumentReading:
        url = URL.build(scheme="http", host=target.pod_ip, port=target.port, path="/startupz")
        document, problem = None, ""
        try:
            document = await fetch(session, url, self._timeout)
        except Unreadable as unreadable:
            problem = str(unreadable)
        self._metrics.scrapes.labels("failed" if problem else "read").inc()
        before = self._readings.get(container)
        failures = (before.failures if before else 0) + 1 if document is None else 0
        return DocumentReading(container, document, self._now(), failures, problem)


def decides(reading: DocumentReading) -> tuple[Any, ...]:
    """What of a reading a plan can decide by; seconds that tick while a phase runs are not part of
    it."""
    document = reading.document
    if document is None:
        return (reading.problem,)
    return (
        document.state,
        document.error,
        document.warnings,
        document.init_seconds,
        document.attempts,
        document.device,
    )


def open_session() -> aiohttp.ClientSession:
    """Connections are not kept: a pod is read every few seconds until it is ready, and then never
    again."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=PARALLEL, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"Accept": "application/json", "User-Agent": "ocr-operator"},
        skip_auto_headers=("Accept-Encoding",),
    )


async def fetch(session: aiohttp.ClientSession, url: URL, limit: aiohttp.ClientTimeout) -> Document:
    """Read one document. Raises `Unreadable` with the reason, one sentence."""
    try:
        async with session.get(url, timeout=limit, allow_redirects=False) as answer:
            if answer.status not in STATUSES:
                raise Unreadable(f"HTTP {answer.status} from {url.path}")
            content = await _bounded(answer.content)
    except TimeoutError:
        raise Unreadable(f"no answer within {limit.total:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}"[:256]) from error
    try:
        return parse_document(json.loads(content))
    except RecursionError:
        raise Unreadable("the answer is nested too deeply") from None
    except Exception as error:
        # Whatever a pod answers costs that pod its reading, never the operator.
        raise Unreadable(f"not a startup document: {error}"[:256]) from error


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise Unreadable(f"more than {BODY_LIMIT_BYTES} bytes")
    return bytes(body)
