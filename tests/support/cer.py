"""Character error rate, the measure of every accuracy test."""

from __future__ import annotations

import unicodedata

import numpy as np

_SAME = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
"""Typographic variants that look alike in print."""


def cer(truth: str, read: str) -> float:
    """Edits from `read` to `truth` per character of `truth`, runs of white space being one."""
    wanted, got = _normal(truth), _normal(read)
    return distance(wanted, got) / max(1, len(wanted))


def distance(first: str, second: str) -> int:
    """Levenshtein distance over characters."""
    right = np.array([ord(character) for character in second], dtype=np.int64)
    places = np.arange(len(second) + 1)
    before = places.copy()
    for row, character in enumerate(first, start=1):
        now = before + 1
        now[0] = row
        now[1:] = np.minimum(now[1:], before[:-1] + (right != ord(character)))
        # An insertion costs one more than the cell to its left: a running minimum, slope removed.
        before = np.minimum.accumulate(now - places) + places
    return int(before[-1])


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).translate(_SAME).split())
