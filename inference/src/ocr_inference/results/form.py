"""What a document may be asked to be read and answered as: the fields beside the document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ocr_inference.key_prefix import KeyPrefix
from ocr_inference.pipeline.page import PdfMode, Task

Output = Literal["json", "text", "markdown", "hocr", "alto", "pdf"]
SaveToS3 = Literal["true", "false", "required"]
Include = Literal["blocks", "lines", "words", "images", "timings"]
Language = Annotated[str, Field(pattern=r"^([a-z]{2}|auto)$")]


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
        "`images`: the blocks that are pictures, cut out, `timings` in milliseconds.",
    )
    save_to_s3: SaveToS3 | None = Field(
        None,
        description="Keep the result in the bucket; `required`: fail when that fails. "
        "By default true where S3 is configured. `false`: not in the output folder either.",
    )
    s3_prefix: KeyPrefix | None = Field(
        None,
        description="Folder of the result below the server's own prefix: one that the "
        "administrator allows, or below one.",
    )
    s3_presign_s: int | None = Field(
        None,
        ge=1,
        description="Seconds that a link to the kept result is to work, which is then in the JSON "
        "answer. It needs no key: whoever has it has the result.",
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
