"""Standard output for results alone, standard error for us: engines' libraries print to both, some
of them from C++."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO


class OutputFailed(Exception):
    """Standard output cannot be written; the sentence says why."""


@contextmanager
def writing_out() -> Iterator[None]:
    """Around what writes results: raises `OutputFailed`, or `BrokenPipeError` where the one who
    reads them has seen enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"standard output cannot be written: {error.strerror}.") from error


@contextmanager
def own_streams(verbose: bool) -> Iterator[tuple[BinaryIO, TextIO]]:
    """Where results and messages go. What libraries and children print is seen with `verbose`, on
    standard error, and lost otherwise."""
    sys.stdout.flush()
    sys.stderr.flush()
    keep = [os.dup(number) for number in (1, 2)]
    with Path(os.devnull).open("wb") as hidden:
        if not verbose:
            os.dup2(hidden.fileno(), 2)
        os.dup2(2, 1)
        try:
            with os.fdopen(os.dup(keep[1]), "w", encoding="utf-8") as err:
                out = os.fdopen(os.dup(keep[0]), "wb")
                try:
                    yield out, err
                finally:
                    # Results are flushed when they are written: what is left could not be.
                    with suppress(OSError):
                        out.close()
        finally:
            for number, kept in enumerate(keep, start=1):
                os.dup2(kept, number)
                os.close(kept)
