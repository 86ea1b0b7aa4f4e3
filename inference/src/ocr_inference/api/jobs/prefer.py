"""`Prefer: respond-async` (RFC 7240): the client wants a job rather than to wait."""

from __future__ import annotations

LONGEST_WAIT_S = 60.0
"""A proxy between us would not hold a silent connection for much longer."""


def respond_async(header: str) -> float | None:
    """Seconds to wait before the answer is a job; None where the client wants none."""
    wanted: dict[str, str] = {}
    for preference in header.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        wanted.setdefault(name.strip().lower(), value.strip().strip('"'))
    if "respond-async" not in wanted:
        return None
    wait = wanted.get("wait", "")
    return min(LONGEST_WAIT_S, float(wait)) if wait.isdecimal() else 0.0
