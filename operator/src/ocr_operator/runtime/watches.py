"""How kopf's watches fare, seen from their HTTP requests.

kopf tells neither when it heard from a watch last nor that it listed anew. Both are needed: a watch
that is silent for too long fails `/healthz`, and after a new listing what it did not show has to be
forgotten.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

SERVER_TIMEOUT_SECONDS = 120
"""A watch ends and is resumed after this time, so that a request is proof of life without its
bookmarks, which kopf swallows. Resuming lists nothing and loses nothing."""
SILENT_SECONDS = 360.0
"""A watch that asked for nothing for so long is dead: three times the above."""
QUIET_SECONDS = 0.3
"""Without an object of a listing, after all listings have ended: then all of them have arrived."""
FILL_SECONDS = 30.0
"""After that the work begins in any case: what is missing in the cache is looked up before it is
made, so it costs requests and no harm."""
SETTLE_SECONDS = 30.0
"""Between the end of a listing and forgetting what it did not show: kopf hands the objects of a
listing to one task each, and all of them have to have run. One that is late is only seen again
later."""

Watch = tuple[str, str | None]
"""Plural and namespace; None is all namespaces."""


@dataclass(slots=True)
class _State:
    heard: float
    listing_since: float | None = None
    listed: bool = False


class WatchMonitor:
    """Follows each watch by its requests: a listing, then a watch from there, and so on.

    `listed_anew(plural, namespace, since)` is called when a listing that began at `since` has
    settled.
    """

    def __init__(
        self,
        listed_anew: Callable[[str, str | None, float], None],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listed_anew = listed_anew
        self._later = later
        self._clock = clock
        self._states: dict[Watch, _State] = {}
        self._last_listed = clock()
        self._listed = asyncio.Event()
        self.filled = asyncio.Event()
        """Set when the objects of the first listings are in the cache."""

    def expect(self, *watches: Watch) -> None:
        """These watches have to be there."""
        for watch in watches:
            self._states.setdefault(watch, _State(self._clock()))

    def trace(self) -> aiohttp.TraceConfig:
        """For the session that kopf uses."""
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._started)
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._failed)
        return trace

    def event_arrived(self, *, initial: bool) -> None:
        """A handler was called; `initial` for an object of a listing."""
        if initial:
            self._last_listed = self._clock()

    async def fill(self) -> None:
        """Set `filled` when it is time, then go on for ever."""
        await self._listed.wait()
        self._last_listed = self._clock()
        end = self._last_listed + FILL_SECONDS
        while True:
            left = min(end, self._last_listed + QUIET_SECONDS) - self._clock()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self.filled.set()
        await asyncio.Event().wait()

    def all_listed(self) -> bool:
        """Whether every expected watch has begun, and so every kind was listed once."""
        return bool(self._states) and not self.missing()

    def missing(self) -> list[str]:
        """Watches that have not begun yet."""
        return sorted(
            f"{plural} in {namespace or 'all namespaces'}"
            for (plural, namespace), state in self._states.items()
            if not state.listed
        )

    def silent_seconds(self) -> dict[str, float]:
        """For how long each kind's most silent watch has shown no sign of life."""
        now = self._clock()
        ages: dict[str, float] = {}
        for (plural, _), state in self._states.items():
            ages[plural] = max(ages.get(plural, 0.0), now - state.heard)
        return ages

    def request_started(self, url: URL) -> None:
        """kopf asks: with the first page of a listing a new picture begins."""
        state = self._state(url)
        if state is None:
            return
        state.heard = self._clock()
        if "watch" not in url.query and "continue" not in url.query:
            state.listing_since = state.heard

    def request_answered(self, url: URL, status: int) -> None:
        """A watch that is accepted ends the listing before it."""
        state = self._state(url)
        if state is None:
            return
        state.heard = self._clock()
        if "watch" in url.query and status == 200:
            self._begin(watch_of(url), state)

    def _begin(self, watch: Watch | None, state: _State) -> None:
        since, state.listing_since = state.listing_since, None
        state.listed = True
        if self.all_listed():
            self._listed.set()
        if watch is None or since is None:
            return
        plural, namespace = watch
        self._later(SETTLE_SECONDS, lambda: self._listed_anew(plural, namespace, since))

    def _state(self, url: URL) -> _State | None:
        watch = watch_of(url)
        return self._states.get(watch) if watch else None

    async def _started(
        self, _session: Any, _context: Any, request: aiohttp.TraceRequestStartParams
    ) -> None:
        self.request_started(request.url)

    async def _answered(
        self, _session: Any, _context: Any, request: aiohttp.TraceRequestEndParams
    ) -> None:
        self.request_answered(request.url, request.response.status)

    async def _failed(
        self, _session: Any, _context: Any, request: aiohttp.TraceRequestExceptionParams
    ) -> None:
        state = self._state(request.url)
        if state is not None:
            state.heard = self._clock()


def watch_of(url: URL) -> Watch | None:
    """`/apis/apps/v1/namespaces/a/deployments` is `deployments` in `a`; None for other paths."""
    match [part for part in url.path.split("/") if part]:
        case ["api", _, plural] | ["apis", _, _, plural]:
            return plural, None
        case ["api", _, "namespaces", namespace, plural] | [
            "apis",
            _,
            _,
            "namespaces",
            namespace,
            plural,
        ]:
            return plural, namespace
    return None
