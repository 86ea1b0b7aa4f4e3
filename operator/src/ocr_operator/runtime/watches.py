"""How kopf's watches fare, seen from their HTTP requests.

kopf tells neither when it heard from a watch last nor that it listed anew, nor when it has handed
over what a listing showed: each object to a task of its own. All of it is needed: a watch that is
silent for too long fails `/healthz`, before a listing is in the cache nothing may be decided, and
after a new one what it did not show has to be forgotten.
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

Watch = tuple[str, str | None]
"""Plural and namespace; None is all namespaces."""


@dataclass(slots=True)
class _State:
    heard: float
    listing_since: float | None = None
    listed: bool = False


class WatchMonitor:
    """Follows each watch by its requests: a listing, then a watch from there, and so on.

    `listed_anew(plural, namespace, since)` is called when every object of a listing that began at
    `since` is in the cache.
    """

    def __init__(
        self,
        listed_anew: Callable[[str, str | None, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listed_anew = listed_anew
        self._clock = clock
        self._states: dict[Watch, _State] = {}
        self._on_the_way = 0
        """Objects that listings have shown and no handler has seen yet. There is no deadline: if
        one is lost `/readyz` says so, and `/healthz` in the end, as the OcrServices wait."""
        self._ended: list[tuple[Watch, float]] = []
        """Listings that are read to their end, with the time they began."""
        self.filled = asyncio.Event()
        """Set when the objects of the first listings are in the cache. To begin earlier is to
        decide as if there were no pods and no measured starts."""

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

    def responses(self) -> type[aiohttp.ClientResponse]:
        """For the same session: answers that tell how many objects a page of a listing has."""
        count = self.page_read

        class Page(aiohttp.ClientResponse):
            async def json(self, **options: Any) -> Any:
                found = await super().json(**options)
                count(self.url, len(found.get("items") or ()))
                return found

        return Page

    def event_handled(self, *, initial: bool) -> None:
        """A handler has ended; `initial` for an object of a listing."""
        if initial:
            self._on_the_way -= 1
            self._settle()

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

    def page_read(self, url: URL, objects: int) -> None:
        """kopf goes through the objects of a page next; each comes to a handler once."""
        if self._state(url) is not None:
            self._on_the_way += objects

    def request_answered(self, url: URL, status: int) -> None:
        """A watch that is accepted ends the listing before it."""
        watch, state = watch_of(url), self._state(url)
        if watch is None or state is None:
            return
        state.heard = self._clock()
        if "watch" in url.query and status == 200:
            self._begin(watch, state)

    def _begin(self, watch: Watch, state: _State) -> None:
        since, state.listing_since = state.listing_since, None
        state.listed = True
        if since is not None:
            self._ended.append((watch, since))
        self._settle()

    def _settle(self) -> None:
        """What there is to do when all that was listed is in the cache."""
        if self._on_the_way:
            return
        ended, self._ended = self._ended, []
        for (plural, namespace), since in ended:
            self._listed_anew(plural, namespace, since)
        if self.all_listed():
            self.filled.set()

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
    """`/apis/apps/v1/namespaces/a/deployments` is `deployments` in `a`; None for other paths.
    Before it may be the way to the API server: `/k8s/clusters/c-1`."""
    match [part for part in url.path.split("/") if part]:
        case [*_, "api", _, plural] | [*_, "apis", _, _, plural]:
            return plural, None
        case [*_, "api", _, "namespaces", namespace, plural] | [
            *_,
            "apis",
            _,
            _,
            "namespaces",
            namespace,
            plural,
        ]:
            return plural, namespace
    return None
