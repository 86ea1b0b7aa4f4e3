"""`POST /v1/ocr` on the wire, as Mistral serves it and LiteLLM for all others.

https://docs.mistral.ai/api/#tag/ocr and the models of `mistralai` 3.7.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from ocr_inference.api.json_document import Wanted, unsupported
from ocr_inference.errors import PublicError

_NUMBER = re.compile(r"\d+")
_SELECTION = r"^\s*\d{1,6}\s*(-\s*\d{1,6}\s*)?(,\s*\d{1,6}\s*(-\s*\d{1,6}\s*)?)*$"

Index = Annotated[int, Field(ge=0, lt=1_000_000)]
Source = Annotated[str, Field(min_length=1, description="A data: URL, base64 or a URL.")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DocumentUrl(_Part):
    type: Literal["document_url"] = "document_url"
    document_url: Source
    document_name: str | None = None

    @property
    def source(self) -> str:
        return self.document_url


class ImageUrl(_Part):
    url: Source
    detail: str | None = None


class ImageUrlDocument(_Part):
    type: Literal["image_url"] = "image_url"
    image_url: Source | ImageUrl

    @property
    def source(self) -> str:
        return self.image_url.url if isinstance(self.image_url, ImageUrl) else self.image_url


def _kind(document: Any) -> str | None:
    """By the field that holds it: `type` has a default."""
    if isinstance(document, dict):
        return next((kind for kind in ("document_url", "image_url") if kind in document), None)
    return None


class OcrRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(None, description="Any name: this server has one model.")
    document: Annotated[
        Annotated[DocumentUrl, Tag("document_url")] | Annotated[ImageUrlDocument, Tag("image_url")],
        Discriminator(_kind),
    ]
    pages: (
        Annotated[list[Index], Field(min_length=1, max_length=10_000)]
        | Annotated[str, Field(max_length=1000, pattern=_SELECTION)]
        | None
    ) = Field(None, description="From 0: a list, or as in `0,2-4`.")
    extract_header: bool | None = None
    extract_footer: bool | None = None
    include_blocks: bool | None = True
    confidence_scores_granularity: Literal["page", "block"] | None = None
    include_image_base64: bool | None = Field(
        None, description="Cut the pictures out; else their places are told alone."
    )
    image_limit: Annotated[int, Field(ge=0)] | None = None
    image_min_size: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Least width and height in pixels."
    )
    table_format: None = None
    bbox_annotation_format: None = None
    document_annotation_format: None = None
    document_annotation_prompt: None = None
    id: str | None = None

    def wanted(self) -> Wanted:
        pages = self.pages
        if isinstance(pages, list):
            pages = ",".join(map(str, pages))
        if pages is not None:
            pages = _NUMBER.sub(lambda number: str(int(number[0]) + 1), pages)
        return Wanted(self.document.source, pages)


def parse(payload: dict[str, Any]) -> OcrRequest:
    document = payload.get("document")
    if isinstance(document, dict) and "file_id" in document:
        raise PublicError(
            422,
            "unsupported_option",
            "document: no files are kept here; send it as a data: URL.",
            field="document",
        )
    try:
        return OcrRequest.model_validate(payload)
    except ValidationError as error:
        raise unsupported(error) from None


class Dimensions(BaseModel):
    dpi: int
    height: int
    width: int


class PageItem(BaseModel):
    model_config = ConfigDict(extra="allow")
    index: int
    markdown: str
    images: list[dict[str, Any]]
    dimensions: Dimensions | None
    error: str | None = Field(None, description="Why this page could not be read.")


class UsageInfo(BaseModel):
    pages_processed: int
    doc_size_bytes: int


class OcrResponse(BaseModel):
    pages: list[PageItem]
    model: str
    document_annotation: None = None
    usage_info: UsageInfo
