"""When a call to the VLM server is made again, and what is said when it is not."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

ATTEMPTS = 4
FIRST_BACKOFF_S = 0.5
LONGEST_WAIT_S = 30.0
"""A server that wants to be left alone for longer has no answer for us now."""

RETRIED = frozenset((408, 409, 429))
"""Beside everything from 500 on."""

OVERLOADED = frozenset((408, 429, 502, 503, 504))
"""It says nothing of the block: another one would be answered the same."""

UNREACHABLE = 0
"""In the place of a status: no answer at all."""

SILENT = 408
"""In the place of a status: no answer in time."""

FAILED = 500
"""In the place of a status: an answer that is none."""

LONGEST_TOLD_S = 300.0
"""What a server asks for beyond it is not told to clients either."""

RETRY_AFTER_S = 5
"""Told to clients when the server told us nothing."""


class VlmError(Exception):
    """One call failed. `status` is the server's, or `UNREACHABLE`; `wait` what it asks for, in
    seconds. The message is public."""

    def __init__(self, status: int, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait = wait

    @property
    def passes(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status == UNREACHABLE or self.status >= 500 or self.status in RETRIED

    @property
    def of_server(self) -> bool:
        """The server is gone, or has too much to do."""
        return self.status == UNREACHABLE or self.status in OVERLOADED

    @property
    def of_settings(self) -> bool:
        """Nothing will ever be answered: the key, the model name or the URL is wrong."""
        return 300 <= self.status < 400 or self.status in (401, 403, 404, 405)


def sentence(status: int) -> str:
    """What an answer with this status means, for an administrator and for clients."""
    match status:
        case 401 | 403:
            return "The VLM server refuses our key."
        case 404:
            return "The VLM server does not have this model, or its URL is wrong."
        case 429:
            return "The VLM server has too much to do."
        case _:
            return f"The VLM server answered with status {status}."


def waits() -> Iterator[float]:
    """Seconds before each further try: doubling, and spread, so that blocks that failed together
    do not come back together."""
    for attempt in range(ATTEMPTS - 1):
        yield FIRST_BACKOFF_S * 2**attempt * random.uniform(0.75, 1.25)  # noqa: S311


def wait_of(headers: Mapping[str, str]) -> float | None:
    """What `Retry-After` asks for, in seconds; None where it is missing or makes no sense."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return _bounded(float(value))
    except ValueError:
        pass
    try:
        return _bounded(parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _bounded(seconds: float) -> float:
    return min(LONGEST_TOLD_S, max(0.0, seconds))
