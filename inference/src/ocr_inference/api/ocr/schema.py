"""`POST /ocr` on the wire: the form's fields and the JSON answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocr_inference.errors import PublicError
from ocr_inference.results.form import OcrForm

_REPEATABLE = frozenset(("language", "include"))


def parse_form(fields: dict[str, list[str]]) -> OcrForm:
    values: dict[str, Any] = {}
    for name, given in fields.items():
        if name in _REPEATABLE:
            values[name] = given
        elif len(given) == 1:
            values[name] = given[0]
        else:
            raise PublicError(422, "invalid_field", f"{name}: given {len(given)} times.")
    try:
        return OcrForm.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        reason = "this field is not known" if first["type"] == "extra_forbidden" else first["msg"]
        raise PublicError(422, "invalid_field", f"{name}: {reason}.", field=name) from error


def form_schema() -> dict[str, Any]:
    """The request body as OpenAPI shows it; the server streams the form and parses it itself."""
    schema = OcrForm.model_json_schema()
    document = {
        "type": "string",
        "format": "binary",
        "description": "PNG, JPEG, TIFF, WEBP, BMP or PDF.",
    }
    url = {
        "type": "string",
        "description": "A data: URL with base64, or a URL where this server fetches any.",
    }
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "oneOf": [{"required": ["file"]}, {"required": ["image_url"]}],
                    "properties": {"file": document, "image_url": url, **schema["properties"]},
                    "additionalProperties": False,
                }
            }
        },
    }


class ResultItem(BaseModel):
    model_config = ConfigDict(extra="allow")
    text: str
    bbox: list[float] = Field(description="x1, y1, x2, y2 in pixels from the top left.")
    polygon: list[list[float]] | None = None
    confidence: float
    confidence_source: Literal["engine", "token_logprob", "none"]
    page: int


class PageItem(BaseModel):
    model_config = ConfigDict(extra="allow")
    page: int
    width: int
    height: int
    dpi: int
    rotation: Literal[0, 90, 180, 270] = Field(
        description="Degrees clockwise that the stored page was turned by before it was read: a "
        "PDF page's own rotation, an image's Exif orientation."
    )
    status: Literal["ok", "failed"]
    text_source: Literal["pdf"] | None = Field(
        None, description="`pdf`: the file's own text, which was not read from the picture."
    )
    error: str | None = None
    blocks: list[dict[str, Any]] | None = None
    lines: list[dict[str, Any]] | None = None
    words: list[dict[str, Any]] | None = None
    images: list[dict[str, Any]] | None = Field(
        None,
        description="Blocks that are pictures: `block`, `type`, `bbox`, and the JPEG or PNG in "
        "`base64` with its `media_type`, `width` and `height`; these are null for one left out.",
    )
    timings_ms: dict[str, float] | None = None


class Usage(BaseModel):
    pages: int
    bytes: int
    input_tokens: int | None = Field(
        None,
        description="As the VLM server counted for this request; null where it did not, or "
        "there is none.",
    )
    output_tokens: int | None = None


class TimingsBody(BaseModel):
    queue_ms: float
    decode_ms: float
    render_ms: float
    layout_ms: float | None = Field(
        None, description="Part of `infer_ms`; null where the engine has no such step."
    )
    infer_ms: float
    total_ms: float


class WarningItem(BaseModel):
    code: str
    message: str
    page: int | None = None


class StoredItem(BaseModel):
    bucket: str
    key: str
    etag: str | None = None
    url: str | None = Field(None, description="Downloads the result without a key.")
    expires_at: str | None = Field(None, description="When the link ends.")


class StoredFileItem(BaseModel):
    key: str = Field(description="Path of the file below the server's output folder.")


class OcrAnswer(BaseModel):
    """The JSON answer. `partial`: some pages failed, and say why."""

    id: str
    status: Literal["success", "partial"]
    engine: str
    model: str
    languages: list[str] = Field(description="As asked for; none: the engine's default.")
    text: str
    markdown: str
    results: list[ResultItem]
    pages: list[PageItem]
    usage: Usage
    timings: TimingsBody
    warnings: list[WarningItem]
    cached: bool = Field(description="No page had to be read: the same was read before.")
    s3: StoredItem | None = None
    output: StoredFileItem | None = None
