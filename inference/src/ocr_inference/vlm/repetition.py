"""A model that repeats itself, told from the end of what it has written so far.

A VLM that loses its place writes the same words up to its limit of tokens, and all that time
others wait: https://github.com/vllm-project/vllm/issues/33160.
"""

from __future__ import annotations

from collections.abc import Sequence

LEAST_REPEATED = 60
"""Tokens. Print repeats itself too: rows of a form, the dots of a table of contents."""

LEAST_REPEATED_SPARSE = 480
"""In tables, whose empty cells are alike, and for what has no letter or digit, such as dots."""

LEAST_TIMES = 4
LONGEST_UNIT = 128
"""Tokens; a paragraph that is written again and again."""

CHECK_EVERY = 16
"""Tokens: to look costs as much as to parse one."""


def repeated_from(tokens: Sequence[str], table: bool = False) -> int | None:
    """How many tokens there were before the second of the repeated units; None without a loop.

    What is kept holds the unit once.
    """
    count = len(tokens)
    for unit in range(1, min(LONGEST_UNIT, count // LEAST_TIMES) + 1):
        needed = max(LEAST_REPEATED, LEAST_TIMES * unit)
        if count < needed or not _repeats(tokens, unit, needed):
            continue
        sparse = table or not any(map(str.isalnum, "".join(tokens[-unit:])))
        if sparse and (
            count < LEAST_REPEATED_SPARSE or not _repeats(tokens, unit, LEAST_REPEATED_SPARSE)
        ):
            continue
        begins = count - needed
        while begins > 0 and tokens[begins - 1] == tokens[begins - 1 + unit]:
            begins -= 1
        return begins + unit
    return None


def _repeats(tokens: Sequence[str], unit: int, length: int) -> bool:
    """Whether the last `length` tokens are one unit, over and over."""
    return tokens[-length:-unit] == tokens[-length + unit :]
