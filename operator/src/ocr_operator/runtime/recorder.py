"""Events on OcrServices (`events.k8s.io/v1`): never waited for, never twice, and a failure is only
logged.

kopf's own events are off: they work inside handlers only, and are not aggregated.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ocr_operator.core.observed import ServiceView
from ocr_operator.core.plan import API_VERSION, Event
from ocr_operator.runtime.errors import ApiError
from ocr_operator.runtime.metrics import Metrics

log = logging.getLogger(__name__)

CONTROLLER = "ocr-operator.dev/ocr-operator"
SAME_EVENT_SECONDS = 600.0
"""The same reason and sentence about the same object is not said again for ten minutes."""
WAITING_EVENTS = 1000
"""Events are the first thing to give up when the API server is slow."""
NOTE_BYTES = 1024
"""The API server refuses a longer note."""
NAME_CHARACTERS = 200
"""Of the object's name in the event's, which may have 253."""

Said = tuple[str, str, str]


class Recorder:
    """Takes events at once and sends them one after another."""

    def __init__(
        self,
        send: Callable[[dict[str, Any]], Awaitable[None]],
        instance: str,
        metrics: Metrics,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send
        self._instance = instance[:128]
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(WAITING_EVENTS)
        self._said: dict[Said, float] = {}

    def record(self, service: ServiceView, event: Event) -> bool:
        """Send the event later; False when it was said already or too many wait."""
        said = (service.uid, event.reason, event.note)
        now = self._clock()
        self._forget(now)
        if said in self._said:
            return False
        try:
            self._waiting.put_nowait(self._manifest(service, event))
        except asyncio.QueueFull:
            self._metrics.events_dropped.inc()
            return False
        self._said[said] = now
        return True

    async def run(self) -> None:
        """Send for ever."""
        while True:
            manifest = await self._waiting.get()
            try:
                await self._send(manifest)
            except ApiError as error:
                self._metrics.events_dropped.inc()
                log.warning(
                    "event was not sent",
                    extra={"reason": manifest["reason"], "error": str(error)},
                )
            finally:
                self._waiting.task_done()

    async def drained(self) -> None:
        """Wait until everything taken so far was sent or given up."""
        await self._waiting.join()

    def _forget(self, now: float) -> None:
        """The dictionary is in the order of time, so the old ones are first."""
        while self._said:
            oldest = next(iter(self._said))
            if now - self._said[oldest] < SAME_EVENT_SECONDS:
                return
            del self._said[oldest]

    def _manifest(self, service: ServiceView, event: Event) -> dict[str, Any]:
        key = service.key
        stamp = self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "namespace": key.namespace,
                # Named here and not by the API server, so that sending twice is one event.
                "name": f"{key.name[:NAME_CHARACTERS]}.{uuid4().hex[:16]}",
            },
            "eventTime": stamp,
            "type": event.type.value,
            "reason": event.reason,
            "action": event.action,
            "note": shorten(event.note),
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": "OcrService",
                "namespace": key.namespace,
                "name": key.name,
                "uid": service.uid,
            },
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }


def shorten(note: str) -> str:
    """At most `NOTE_BYTES` in UTF-8, with an ellipsis where something was cut."""
    encoded = note.encode()
    if len(encoded) <= NOTE_BYTES:
        return note
    return encoded[: NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"
