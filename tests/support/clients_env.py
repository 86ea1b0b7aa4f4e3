"""Clients of other servers, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

from cached_env import ROOT, cached_python

LOCK = ROOT / "requirements" / "clients.txt"


def clients_python() -> Path:
    """The environment's interpreter; made at first use (seconds, 90 MB)."""
    # The lock is whole; with dependencies, what it leaves out on purpose would be wanted.
    return cached_python(
        "clients", LOCK.read_bytes(), ("--no-deps", "--require-hashes", "-r", str(LOCK))
    )
