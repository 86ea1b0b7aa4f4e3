"""`Prefer: respond-async` (RFC 7240): the client wants a job rather than to wait."""

from __future__ import annotations

from urllib.request import parse_http_list

LONGEST_WAIT_S = 60.0
"""A proxy between us would not hold a silent connection for much longer."""


def respond_async(header: str) -> float | None:
    """Seconds to wait before the answer is a job; None where the client wants none.

    `header` is all lines of it, joined by commas. `wait` is a preference of its own; as a parameter
    of `respond-async` it can mean nothing else.
    """
    wanted: dict[str, str] = {}
    waits: dict[str, str] = {}
    for preference in parse_http_list(header):
        (name, value), *parameters = map(_named, preference.split(";"))
        if name not in wanted:  # the first one counts
            wanted[name] = value
            waits[name] = dict(reversed(parameters)).get("wait", "")
    if "respond-async" not in wanted:
        return None
    wait = wanted.get("wait", waits["respond-async"])
    return min(LONGEST_WAIT_S, float(wait)) if wait.isdecimal() else 0.0


def _named(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip().lower(), value.strip().strip('"')
