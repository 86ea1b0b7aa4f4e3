"""What of a text may stand in an answer of any format."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
"""All but tab and line feed: none is text, and XML and terminals choke on them."""


def clean(text: str) -> str:
    """`text` with line feeds alone between its lines, and without control characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
