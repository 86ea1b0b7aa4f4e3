"""What an answer says beside its body, where the format has no word for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def status_headers(status: str, warnings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """`status` is `success` or `partial`; of `warnings` each code once."""
    codes = dict.fromkeys(warning["code"] for warning in warnings)
    return {"X-OCR-Status": status} | ({"X-OCR-Warnings": ", ".join(codes)} if codes else {})
