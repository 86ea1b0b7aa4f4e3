"""Which pages of a document are read: `1-3,7` and its refusals.

Nothing is ever left out silently.
"""

from __future__ import annotations

import re

from ocr_inference.errors import PublicError

_PART = re.compile(r"(?P<first>[0-9]{1,9})(?:(?P<dash>-)(?P<last>[0-9]{1,9})?)?", re.ASCII)
_MAX_LENGTH = 2000
"""Characters; more than a list of every page of the largest document that may be asked for."""
_MOST = 10**9 - 1
"""The last number that `_PART` takes."""


def select(pages: str | None, page_count: int, max_pages: int) -> tuple[int, ...]:
    """The 1-based numbers that `pages` names, in order and once each; all without a selection.

    A range may be open (`5-`). `page_count` may be `max_pages` + 1 where counting was stopped.
    """
    wanted: set[int] = set()
    for first, last in _ranges(pages, page_count):
        if last > page_count:
            raise _past_the_end(last, page_count, max_pages)
        wanted.update(range(first, last + 1))
    if len(wanted) > max_pages:
        raise _too_many(max_pages)
    return tuple(sorted(wanted))


def check_selection(pages: str | None) -> None:
    """Raises `PublicError` for what selects no pages of any document."""
    _ranges(pages, _MOST)


def _ranges(pages: str | None, page_count: int) -> list[tuple[int, int]]:
    if pages is None or not pages.strip():
        return [(1, page_count)]
    if len(pages) > _MAX_LENGTH:
        raise _invalid("The selection of pages is too long.")
    ranges = []
    for part in pages.split(","):
        match = _PART.fullmatch(part.strip().replace(" ", ""))
        if match is None:
            raise _invalid("Pages are selected by numbers and ranges, as in 1-3,7.")
        first = int(match["first"])
        last = int(match["last"] or page_count) if match["dash"] else first
        if first < 1:
            raise _invalid("Pages are counted from 1.")
        if match["dash"] and not match["last"] and first > page_count:
            last = first  # an open range that begins past the end, refused as such
        if last < first:
            raise _invalid(f"The range {first}-{last} ends before it begins.")
        ranges.append((first, last))
    return ranges


def _past_the_end(number: int, page_count: int, max_pages: int) -> PublicError:
    if page_count > max_pages:
        return _too_many(max_pages)
    has = "one page" if page_count == 1 else f"{page_count} pages"
    return _invalid(f"Page {number} was asked for; the document has {has}.", page_count=page_count)


def _too_many(max_pages: int) -> PublicError:
    return PublicError(
        422,
        "too_many_pages",
        f"More than {max_pages} pages; select fewer with `pages`.",
        max_pages=max_pages,
    )


def _invalid(message: str, **details: int) -> PublicError:
    return PublicError(422, "invalid_pages", message, **details)
