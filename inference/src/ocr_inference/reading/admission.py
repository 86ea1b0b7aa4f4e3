"""How much may wait.

Pages and pixels are counted, never requests: a hundred pages in one file are a hundred pages, and
a poster is ten letters.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable

from ocr_inference.errors import PublicError
from ocr_inference.shares import Shares

LONGEST_RETRY_AFTER_S = 300

_WEIGHT = 0.2
"""Of the newest page in the running mean: the rate follows a change within about ten pages."""


class Admission:
    """Bounds the pages and pixels that wait or run. One page counts as soon as a request is let in:
    its upload needs room too, before its pages can be counted.

    `readers` tells how many pages are read side by side now.
    """

    def __init__(
        self, max_pages: int, max_pixels: int, readers: Callable[[], int] = lambda: 1
    ) -> None:
        self._shares = Shares(max_pages)
        self._max_pixels = max_pixels
        self._readers = readers
        self._seconds_per_page = 1.0
        self._measured = False
        self.pixels = 0

    @classmethod
    def unbounded(cls) -> Admission:
        """Lets everything in: for work that is bounded by other means."""
        return cls(sys.maxsize, sys.maxsize)

    @property
    def pages(self) -> int:
        return self._shares.total

    def admit(self, client: str) -> Ticket:
        """Raises `PublicError` 503 queue_full."""
        ticket = Ticket(self, client)
        ticket.take(1, 0)
        return ticket

    def note(self, seconds: float) -> None:
        """A page took so long on the engine."""
        if self._measured:
            self._seconds_per_page += _WEIGHT * (seconds - self._seconds_per_page)
        else:
            self._seconds_per_page, self._measured = seconds, True

    @property
    def seconds_per_page(self) -> float | None:
        """The running mean of one reader; None before the first page."""
        return self._seconds_per_page if self._measured else None

    def retry_after(self, more: int = 0) -> int:
        """Seconds until what waits now is read, and so many pages more; spread, so that not all
        refused return at once."""
        seconds = (self.pages + more) * self._seconds_per_page / max(1, self._readers())
        seconds *= random.uniform(1.0, 1.25)  # noqa: S311
        return max(1, min(LONGEST_RETRY_AFTER_S, math.ceil(seconds)))

    def check_fits(self, client: str, pages: int, pixels: int) -> None:
        """Refuse what could never be let in: `PublicError` 422."""
        most = self._shares.most_of(client)
        if pages > most:
            raise PublicError(
                422, "too_many_pages", f"{pages} pages are more than the {most} that may ever wait."
            )
        if pixels > self._max_pixels:
            raise PublicError(
                422,
                "too_many_pixels",
                f"{pixels} pixels are more than the {self._max_pixels} that may ever wait.",
            )

    def take(self, client: str, pages: int, pixels: int) -> None:
        if not self._shares.fits(client, pages):
            raise self._full(f"{self.pages} pages are waiting and at most {self._shares.most} may.")
        if self.pixels + pixels > self._max_pixels:
            raise self._full(
                f"{self.pixels} pixels are waiting and at most {self._max_pixels} may."
            )
        self._add(client, pages, pixels)

    def give_back(self, client: str, pages: int, pixels: int) -> None:
        self._add(client, -pages, -pixels)

    def _add(self, client: str, pages: int, pixels: int) -> None:
        self._shares.add(client, pages)
        self.pixels += pixels

    def _full(self, message: str) -> PublicError:
        return PublicError(503, "queue_full", message, retry_after=self.retry_after())


class Ticket:
    """A request's share of the budget, which shrinks with its pages and ends with the `with` block.
    One page is kept until then: what was read stays in memory until it is stored and the answer is
    made."""

    def __init__(self, admission: Admission, client: str) -> None:
        self._admission = admission
        self._client = client
        self._pages = 0
        self._pixels = 0

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def take(self, pages: int, pixels: int) -> None:
        self._admission.take(self._client, pages, pixels)
        self._pages += pages
        self._pixels += pixels

    def cover(self, pages: int, pixels: int) -> None:
        """The document has so many pages, with so many pixels together. Raises `PublicError`: 422
        too_many_pages or too_many_pixels, 503 queue_full."""
        self._admission.check_fits(self._client, pages, pixels)
        self.take(pages - self._pages, pixels)

    def page_done(self, pixels: int) -> None:
        """One page with so many pixels was read."""
        if self._pages > 0:
            self._give_back(min(1, self._pages - 1), min(pixels, self._pixels))

    def release(self) -> None:
        self._give_back(self._pages, self._pixels)

    def _give_back(self, pages: int, pixels: int) -> None:
        self._admission.give_back(self._client, pages, pixels)
        self._pages -= pages
        self._pixels -= pixels
