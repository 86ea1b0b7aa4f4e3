"""The part of a key that a request may choose: a folder below the server's own prefix."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

LONGEST_BYTES = 255
"""Of the 1024 of a key: the server's own prefix, the date and the id need room too."""


def _checked(text: str) -> str:
    """With one `/` at its end, so that `a` never allows `ab`."""
    prefix = text.removesuffix("/")
    names = prefix.split("/")
    # Some stores are folders behind a gateway: nothing that means another place in one of them.
    if (
        not prefix.isprintable()
        or len(prefix.encode()) > LONGEST_BYTES
        or any(not name or name.startswith(".") for name in names)
        or not {"\\", "%"}.isdisjoint(prefix)
    ):
        raise PydanticCustomError(
            "key_prefix",
            "names with / between them, none of which begins with a dot, without control "
            "characters, \\ and %, of at most {longest} bytes",
            {"longest": LONGEST_BYTES},
        )
    if names[0].lower() == "jobs" or names[0].lower().startswith("jobs-"):
        raise PydanticCustomError("key_prefix", "jobs and what begins with jobs- are the server's")
    return f"{prefix}/"


KeyPrefix = Annotated[str, AfterValidator(_checked)]
