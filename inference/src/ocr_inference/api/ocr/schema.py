"""`POST /ocr` on the wire: the form's fields and the JSON answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import PdfMode, Task

Output = Literal["json", "text", "markdown", "hocr", "alto", "pdf"]
SaveToS3 = Literal["true", "false", "required"]
Include = Literal["blocks", "lines", "words", "timings"]
Language = Annotated[str, Field(pattern=r"^([a-z]{2}|auto)$")]

_REPEATABLE = frozenset(("language", "include"))


def _flatten(value: Any) -> Any:
    """`include=blocks,lines` is the same as the field sent twice."""
    if isinstance(value, list):
        return [part.strip() for item in value for part in str(item).split(",") if part.strip()]
    return value


class OcrForm(BaseModel):
    """The fields beside `file`; all are optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: Annotated[list[Language], BeforeValidator(_flatten)] = Field(
        [], description="ISO 639-1 codes, repeatable; `auto` or nothing: the engine's default."
    )
    pages: str | None = Field(
        None, max_length=1000, description="Pages to read, as in `1-3,7`; all by default."
    )
    task: Task = Field(
        "parse", description="`parse`: layout and text; others: the page is one block of that kind."
    )
    output: Output | None = Field(
        None, description="Format of the answer; without it the `Accept` header decides."
    )
    dpi: int = Field(200, ge=72, le=400, description="Resolution at which PDF pages are rendered.")
    pdf_mode: PdfMode = Field(
        "ocr",
        description="`ocr`: every page is read from its picture. `auto`: a PDF page with text of "
        "its own that looks right is taken as it is. `text`: every PDF page is. What a file says "
        "need not be what a reader sees: for files that you trust.",
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="Lines below it are left out."
    )
    include: Annotated[list[Include], BeforeValidator(_flatten)] = Field(
        ["blocks", "lines"],
        description="What each page of the JSON answer holds; `words` where the engine knows them, "
        "`timings` in milliseconds.",
    )
    save_to_s3: SaveToS3 | None = Field(
        None,
        description="Keep the result in the bucket; `required`: fail when that fails. "
        "By default true where S3 is configured. `false`: not in the output folder either.",
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Deadline in seconds, upload included, up to the server's own.",
    )

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(code for code in dict.fromkeys(self.language) if code != "auto")


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
    status: Literal["ok", "failed"]
    text_source: Literal["pdf"] | None = Field(
        None, description="`pdf`: the file's own text, which was not read from the picture."
    )
    error: str | None = None
    blocks: list[dict[str, Any]] | None = None
    lines: list[dict[str, Any]] | None = None
    words: list[dict[str, Any]] | None = None
    timings_ms: dict[str, float] | None = None


class Usage(BaseModel):
    pages: int
    bytes: int


class TimingsBody(BaseModel):
    queue_ms: float
    decode_ms: float
    render_ms: float
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
