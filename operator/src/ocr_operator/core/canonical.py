"""One text for equal data, and its hash: what is compared across restarts and versions."""

from __future__ import annotations

import hashlib
import json
from typing import Any

HASH_CHARACTERS = 16
"""64 bits of a SHA-256: against accidents; an attacker could as well write the annotation."""


def canonical_json(value: Any) -> str:
    """Sorted keys, no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """Short hash of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:HASH_CHARACTERS]


def without_empty(value: Any) -> Any:
    """Drops `{}`, `[]` and None everywhere: in a spec they say the same as leaving it out. An empty
    string does not, as the value of a node's label for example."""
    if isinstance(value, dict):
        kept = {name: without_empty(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in ({}, [], None)}
    if isinstance(value, list):
        return [without_empty(part) for part in value]
    return value
