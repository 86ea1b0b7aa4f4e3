"""`POST /layout-parsing` on the wire, as PaddleX 3 serves PaddleOCR-VL.

https://www.paddleocr.ai/latest/en/version3.x/pipeline_usage/PaddleOCR-VL.html (service, API)
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from ocr_inference.api.json_document import Wanted, unsupported
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import Task

Off = Literal[False] | None
Ignored = bool | None
"""Has no part in what is read."""
NoList = Annotated[list[Any], Field(max_length=0)] | None
NoMap = Annotated[dict[str, Any], Field(max_length=0)] | None

_EMPTY: tuple[object, ...] = (None, False, [], {})


class LayoutParsingRequest(BaseModel):
    """What can be done is taken, what makes no difference to the text too; everything else is
    refused, so that nobody believes to have got it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow", frozen=True)

    file: Annotated[str, Field(min_length=1, description="Base64, a data: URL or a URL.")]
    file_type: Literal[0, 1] | None = Field(
        None, description="0 PDF, 1 image; what it is, is told by its content."
    )
    use_layout_detection: bool | None = Field(
        None, description="False: the page is one block, read as `promptLabel` says."
    )
    prompt_label: Literal["ocr", "formula", "table", "chart", "seal", "spotting"] | None = None
    use_chart_recognition: bool | None = None
    use_seal_recognition: bool | None = None
    use_doc_orientation_classify: Off = None
    use_doc_unwarping: Off = None
    use_ocr_for_image_block: Off = None
    layout_threshold: None = None
    layout_nms: None = None
    layout_unclip_ratio: None = None
    layout_merge_bboxes_mode: None = None
    layout_shape_mode: Literal["auto", "rect"] | None = None
    format_block_content: Off = None
    repetition_penalty: Annotated[float, Field(ge=1, le=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=0)] | None = None
    top_p: Annotated[float, Field(ge=1, le=1)] | None = None
    min_pixels: None = None
    max_pixels: None = None
    max_new_tokens: None = None
    merge_layout_blocks: Literal[True] | None = None
    markdown_ignore_labels: NoList = None
    vlm_extra_args: NoMap = None
    show_formula_number: Off = None
    restructure_pages: Off = None
    merge_tables: Ignored = Field(None, description="Only with `restructurePages`.")
    relevel_titles: Ignored = Field(None, description="Only with `restructurePages`.")
    prettify_markdown: bool | None = Field(
        None, description="False: pictures are named in Markdown and not in HTML."
    )
    return_markdown_images: bool | None = Field(
        None, description="False: no pictures are cut out, and none is named in the Markdown."
    )
    visualize: Ignored = Field(None, description="Nothing is drawn.")
    output_formats: NoList = None
    log_id: Annotated[str, Field(max_length=128)] | None = None

    @model_validator(mode="after")
    def _no_further_options(self) -> LayoutParsingRequest:
        for name, value in (self.model_extra or {}).items():
            if value not in _EMPTY:
                raise PublicError(
                    422, "unsupported_option", f"{name[:64]}: this option is not known here."
                )
        return self

    @property
    def task(self) -> Task:
        # With layout detection PaddleX reads each block as what it is, whatever the label.
        return (self.prompt_label or "ocr") if self.use_layout_detection is False else "parse"

    def wanted(self, tasks: tuple[Task, ...]) -> Wanted:
        """Raises `PublicError` 422 for what none of the engine's `tasks` can do."""
        for kind in ("chart", "seal"):
            if getattr(self, f"use_{kind}_recognition") and kind not in tasks:
                name = f"use{kind.title()}Recognition"
                raise PublicError(
                    422, "unsupported_option", f"{name}: this engine cannot do that.", field=name
                )
        return Wanted(self.file, task=self.task)


def parse(payload: dict[str, Any]) -> LayoutParsingRequest:
    try:
        return LayoutParsingRequest.model_validate(payload)
    except ValidationError as error:
        raise unsupported(error) from None


class MarkdownItem(BaseModel):
    text: str
    images: dict[str, str]
    isStart: bool
    isEnd: bool


class PageItem(BaseModel):
    prunedResult: dict[str, Any]
    markdown: MarkdownItem
    outputImages: None
    inputImage: None


class Result(BaseModel):
    layoutParsingResults: list[PageItem]
    dataInfo: dict[str, Any]


class LayoutParsingAnswer(BaseModel):
    logId: str
    errorCode: Literal[0]
    errorMsg: Literal["Success"]
    result: Result


class LayoutParsingProblem(BaseModel):
    """What every error of this route looks like; `errorCode` is the HTTP status."""

    logId: str | None
    errorCode: int
    errorMsg: str
