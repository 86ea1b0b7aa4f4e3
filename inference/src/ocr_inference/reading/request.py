"""What is to be read and what was read, whichever route asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from ocr_inference.engine.decoder import Inspection
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import Page, PdfMode, Task, Tokens
from ocr_inference.sources.file import Document


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """`deadline` is on the monotonic clock, `pages` a selection as in `1-3,7`."""

    client: str
    document: Document
    deadline: float
    pages: str | None = None
    dpi: int = 200
    languages: tuple[str, ...] = ()
    task: Task = "parse"
    pdf_mode: PdfMode = "ocr"
    min_confidence: float = 0.0
    max_pages: int | None = None
    """Other than what a request that is waited for may have."""
    fresh: bool = False
    """Neither from the cache nor into it."""
    charged: bool = False
    """Its pages were paid for by an earlier try."""
    identifier: str = field(default_factory=lambda: uuid4().hex)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Watcher:
    """Told while a document is read: what it is, then each page when it was read or failed."""

    found: Callable[[Inspection], None] = lambda _found: None
    page: Callable[[Page], None] = lambda _page: None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read: pages in order, one error for each that failed, times in milliseconds."""

    request: ReadRequest
    found: Inspection
    pages: tuple[Page, ...]
    errors: tuple[PublicError, ...]
    decode_ms: float

    @property
    def queue_ms(self) -> float:
        """Until the first page was begun."""
        waits = [page.timings_ms["queue_ms"] for page in self.pages if page.timings_ms]
        return min(waits, default=0.0)

    @property
    def cached(self) -> bool:
        """Whether no page had to be read for this request."""
        return all(page.cached for page in self.pages)

    def total(self, timing: str) -> float:
        return sum(page.timings_ms.get(timing, 0.0) for page in self.pages)

    @property
    def layout_ms(self) -> float | None:
        """None where no page had such a step."""
        known = any("layout_ms" in page.timings_ms for page in self.pages)
        return self.total("layout_ms") if known else None

    @property
    def tokens(self) -> Tokens | None:
        """Of the pages that were read for this request; None where no server said."""
        told = [page.text.tokens for page in self.pages if page.text and page.text.tokens]
        return sum(told, Tokens(0, 0)) if told else None
