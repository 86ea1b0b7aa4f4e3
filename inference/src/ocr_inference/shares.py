"""What clients hold of something that all of them share: the same rule for pages and for bytes."""

from __future__ import annotations

from collections import Counter

from ocr_inference.auth import ANONYMOUS

NEWCOMERS_SHARE = 0.25
"""Of all, kept for clients that hold no more than as much themselves: one client with a hundred
documents must not make the server refuse all others."""


class Shares:
    """Counts what each client holds of `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.total = 0
        self._held: Counter[str] = Counter()

    def held(self, client: str) -> int:
        return self._held[client]

    def most_of(self, client: str) -> int:
        """All that one client may ever hold."""
        # Where clients have no names there is nobody to keep room for.
        return self.most - (0 if client == ANONYMOUS else self._newcomers)

    def fits(self, client: str, count: int) -> bool:
        """Whether this client may hold so much more now."""
        after = self.total + count
        newcomer = self._held[client] + count <= self._newcomers
        return after <= (self.most if newcomer else self.most_of(client))

    def add(self, client: str, count: int) -> None:
        """Negative: given back."""
        self.total += count
        self._held[client] += count
        if not self._held[client]:
            del self._held[client]

    @property
    def _newcomers(self) -> int:
        return int(self.most * NEWCOMERS_SHARE)
