"""JSON as it is sent and stored: without spaces, and text as it is."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> str:
    """Raises `ValueError` for NaN and infinity, which JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
