"""Answers from the page model: one function per output format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocr_inference.pipeline.page import Page


def as_text(pages: Sequence[Page]) -> str:
    """Plain text in reading order, a form feed between pages."""
    raise NotImplementedError


def as_markdown(pages: Sequence[Page]) -> str:
    """Markdown in reading order; tables as HTML, formulas in dollar signs."""
    raise NotImplementedError


def as_body(pages: Sequence[Page], include: frozenset[str]) -> dict[str, Any]:
    """The JSON answer's keys that come from the pages: `text`, `markdown`, `results`, `pages`.

    `include` holds `blocks` and/or `lines`.
    """
    raise NotImplementedError
