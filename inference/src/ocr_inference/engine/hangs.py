"""Which documents hung the decoder, and how often."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from ocr_inference.errors import PublicError

MOST = 2
"""A page that hangs costs the document's others nothing; where a second one does, each of a hundred
might, and meanwhile the documents of others stand still."""

_KNOWN = 1000
"""So many documents are remembered; most are gone by then."""


class Hangs:
    def __init__(self) -> None:
        self._counts: OrderedDict[Path, int] = OrderedDict()

    def note(self, path: Path) -> None:
        self._counts[path] = self._counts.pop(path, 0) + 1
        if len(self._counts) > _KNOWN:
            self._counts.popitem(last=False)

    def given_up(self, path: Path) -> PublicError | None:
        """What is said of the pages of a document that is not tried any more."""
        if self._counts.get(path, 0) < MOST:
            return None
        message = f"Not tried: the decoder hung on this file {MOST} times before."
        return PublicError(400, "decode_failed", message)
