"""What of a text may stand in an answer of any format, and what an answer says of its origin."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
"""All but tab and line feed: none is text, and XML and terminals choke on them."""


def clean(text: str) -> str:
    """`text` with line feeds alone between its lines, and without control characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True, slots=True)
class Origin:
    """What a finished document says of where it comes from. `language` is an ISO 639-1 code, and
    empty where it is not known; `software` a name with versions."""

    file_name: str
    software: str
    language: str = ""
