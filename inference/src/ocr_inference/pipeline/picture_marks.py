"""Where the pictures of a page stand in Markdown that an engine wrote itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

OBJECT = "\ufffc"
"""Unicode's stand-in for what is no text; engines take it out of what they read."""

_MARK = re.compile(f"{OBJECT}([0-9]+){OBJECT}")
_BLANK_LINES = re.compile(r"\n{3,}")


def picture_mark(number: int) -> str:
    """For the picture of block `number`, from 1."""
    return f"{OBJECT}{number}{OBJECT}"


def with_pictures(markdown: str, references: Mapping[int, str]) -> str:
    """With `references` in the place of the marks, and without the marks that have none."""
    text = _MARK.sub(lambda mark: references.get(int(mark[1]), ""), markdown)
    return _BLANK_LINES.sub("\n\n", text)
