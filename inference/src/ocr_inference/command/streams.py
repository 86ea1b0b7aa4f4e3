"""Standard output for results alone, standard error for us: engines' libraries print to both, some
of them from C++."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, TextIO


@contextmanager
def own_streams(verbose: bool) -> Iterator[tuple[BinaryIO, TextIO]]:
    """Where results and messages go. What libraries and children print is seen with `verbose`, on
    standard error, and lost otherwise."""
    sys.stdout.flush()
    sys.stderr.flush()
    keep = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile() as hidden:
        if not verbose:
            os.dup2(hidden.fileno(), 2)
        os.dup2(2, 1)
        try:
            with (
                os.fdopen(os.dup(keep[0]), "wb") as out,
                os.fdopen(os.dup(keep[1]), "w", encoding="utf-8") as err,
            ):
                yield out, err
        finally:
            for number, kept in enumerate(keep, start=1):
                os.dup2(kept, number)
                os.close(kept)
