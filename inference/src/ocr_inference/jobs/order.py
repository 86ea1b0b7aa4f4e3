"""What a client wants to have read as a job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ocr_inference.results.form import OcrForm
from ocr_inference.sources.file import Document


@dataclass(frozen=True, slots=True)
class Order:
    """A document that is to be read as a job. `key` is the client's `Idempotency-Key`."""

    client: str
    form: OcrForm
    document: Document
    page_count: int
    pages: int
    fresh: bool = False
    key: str | None = None

    @property
    def content(self) -> str:
        """The same for what is repeated with the same key, also on a version with more fields."""
        told = f"{self.document.sha256} {self.form.model_dump_json(exclude_defaults=True)}"
        return hashlib.sha256(told.encode()).hexdigest()
