"""Which replicas live: told by their heartbeats, on our own clock.

A wall clock of another machine is never compared with ours: what counts is how long we ourselves
have seen a heartbeat stand still.
"""

from __future__ import annotations

from collections.abc import Mapping

HEARTBEAT_S = 5.0
"""Every replica writes its heartbeat and looks at those of the others as often."""

STALE_S = 15.0
"""A heartbeat that stood still for so long is that of a replica that is gone."""

GAP_S = 12.0
"""Whoever looked away for longer, because the bucket or this process stood still, cannot tell."""


class Heartbeats:
    """`now` is on the monotonic clock of this process."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}
        self._looked: float | None = None

    def observe(self, tags: Mapping[str, str], now: float) -> None:
        """The heartbeats' tags by replica, as they are now."""
        looked_away = self._looked is not None and now - self._looked > GAP_S
        self._looked = now
        before = {} if looked_away else self._seen
        self._seen = {
            replica: (tag, before[replica][1] if before.get(replica, ("",))[0] == tag else now)
            for replica, tag in tags.items()
        }

    def lives(self, replica: str, now: float) -> bool:
        """One without a heartbeat has taken it away itself: it is written before the first job."""
        seen = self._seen.get(replica)
        return seen is not None and now - seen[1] < STALE_S

    def still_for(self, now: float) -> dict[str, float]:
        """Seconds since each replica's heartbeat last changed."""
        return {replica: now - since for replica, (_, since) in self._seen.items()}
