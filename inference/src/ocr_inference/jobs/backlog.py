"""The jobs that wait on this replica: how many may, and whose turn it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ocr_inference.errors import PublicError

MAX_JOBS = 256
"""Waiting on one replica; each is a record and a file somewhere else."""


@dataclass(slots=True)
class Waiting:
    """One that is not `ready` has its place, and is being written down."""

    job: str
    client: str
    size: int
    pages: int
    ready: bool = True


class Backlog:
    """In the order of arrival; a client's turn comes before that of one who has more running."""

    def __init__(self, max_bytes: int, retry_after: Callable[[int], int]) -> None:
        """`retry_after` gives the seconds until so many pages are read."""
        self._max_bytes = max_bytes
        self.retry_after = retry_after
        self._waiting: dict[str, Waiting] = {}

    @property
    def pages(self) -> int:
        return sum(one.pages for one in self._waiting.values())

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self, client: str, size: int) -> None:
        """Refuse one more job of this client: `PublicError` 503 queue_full.

        A client may hold as much as is left for the others, so one alone gets half of all, and
        whoever comes next always finds room.
        """
        own = [one for one in self._waiting.values() if one.client == client]
        jobs = len(own) < MAX_JOBS - len(self._waiting)
        left = self._max_bytes - sum(one.size for one in self._waiting.values())
        if not jobs or (own and sum(one.size for one in own) + size > left) or size > left:
            raise PublicError(
                503,
                "queue_full",
                f"{len(self._waiting)} jobs are waiting, {len(own)} of them this client's.",
                retry_after=self.retry_after(self.pages),
            )

    def put(self, one: Waiting) -> None:
        self._waiting[one.job] = one

    def ready(self, job: str) -> None:
        self._waiting[job].ready = True

    def __contains__(self, job: str) -> bool:
        return job in self._waiting

    def remove(self, job: str) -> bool:
        """Whether it was waiting."""
        return self._waiting.pop(job, None) is not None

    def take(self, running: Counter[str]) -> str | None:
        """The next job, given how many of each client run."""
        ready = [one for one in self._waiting.values() if one.ready]
        if not ready:
            return None
        # `min` takes the first of equals, the oldest.
        best = min(ready, key=lambda one: running[one.client])
        del self._waiting[best.job]
        return best.job

    def position(self, job: str, running: Counter[str]) -> int | None:
        """How many jobs will be begun before this one, as things are."""
        if job not in self._waiting:
            return None
        turns = running.copy()
        order = []
        for number, one in enumerate(self._waiting.values()):
            turns[one.client] += 1
            order.append((turns[one.client], number, one.job))
        return [name for _, _, name in sorted(order)].index(job)
