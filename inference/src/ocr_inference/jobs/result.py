"""What is kept of a finished job's reading: enough to write any output format later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from ocr_inference.pipeline.page import Page

_page = TypeAdapter(Page)


class _Stored(BaseModel):
    about: dict[str, Any]
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class JobResult:
    """`about` is what an answer says beside its pages."""

    about: dict[str, Any]
    pages: tuple[Page, ...]


def dump_result(about: dict[str, Any], pages: Sequence[Page]) -> bytes:
    """For a thread; page by page, because the encoder holds the interpreter lock until it ends."""
    told = json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
    return b'{"about":%b,"pages":[%b]}' % (told, b",".join(map(_page.dump_json, pages)))


def load_result(data: bytes) -> JobResult:
    """For a thread."""
    stored = _Stored.model_validate_json(data)
    return JobResult(stored.about, stored.pages)
