"""What the places for results have in common: the key, the time they get, how they fail."""

from __future__ import annotations

from datetime import datetime

STORE_DEADLINE_S = 20.0
"""A client waits for its text: a bucket or a volume slower than this counts as down."""

LEAST_STORE_S = 1.0
"""Even when the request's time is up: what was read is worth one try of a place that works."""


class StoreFailed(Exception):
    """The result was not taken; the sentence is public."""


def result_key(identifier: str, created: datetime) -> str:
    """Where a result is kept, below a prefix or a folder. Nothing of it comes from a client."""
    return f"{created:%Y/%m/%d}/{identifier}.json"


def store_limit(remaining: float) -> float:
    """Seconds for storing when so many are left until the request's own deadline."""
    return min(STORE_DEADLINE_S, max(LEAST_STORE_S, remaining))
