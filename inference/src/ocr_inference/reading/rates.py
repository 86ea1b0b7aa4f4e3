"""How many pages a minute one client may have read."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ocr_inference.errors import PublicError


@dataclass(slots=True)
class _Balance:
    pages: float
    at: float


class PageRates:
    """A token bucket of pages for each client: full it holds one minute's pages.

    A request pays for its first page when it is let in, so that a refusal comes before its upload,
    and for the others once they are counted. Those may leave a debt, which is paid by waiting: no
    document is too long to ever be read, and over time nobody has more than the rate. Each replica
    counts for itself.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_minute` is 0 where nothing is limited."""
        self._per_minute = per_minute
        self._clock = clock
        self._balances: dict[str, _Balance] = {}

    def admit(self, client: str) -> None:
        """Pay for a request's first page. Raises `PublicError` 429 rate_limited."""
        if not self._per_minute:
            return
        balance = self._now(client)
        if balance.pages < 1:
            seconds = (1 - balance.pages) * 60 / self._per_minute
            raise PublicError(
                429,
                "rate_limited",
                f"More than {self._per_minute} pages a minute were asked for with this key.",
                retry_after=math.ceil(seconds),
                pages_per_minute=self._per_minute,
            )
        balance.pages -= 1

    def charge(self, client: str, pages: int) -> None:
        """Pay for further pages of a request that was let in."""
        if self._per_minute:
            self._now(client).pages -= pages

    def _now(self, client: str) -> _Balance:
        now = self._clock()
        balance = self._balances.setdefault(client, _Balance(self._per_minute, now))
        earned = (now - balance.at) * self._per_minute / 60
        balance.pages = min(self._per_minute, balance.pages + earned)
        balance.at = now
        return balance
