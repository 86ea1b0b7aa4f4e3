"""The engine-neutral page model: what an engine returns and every output format is written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

if TYPE_CHECKING:  # the HTTP process knows pages and has none of the libraries of their pictures
    import numpy as np
    from numpy.typing import NDArray

Image: TypeAlias = "NDArray[np.uint8]"
"""A page's picture: height by width by 3, BGR, contiguous."""


class Rendered(NamedTuple):
    """A page as it is read: upright as far as the file says how, at `dpi` dots per inch."""

    image: Image
    dpi: int
    rotation: int
    """As of `Page`."""


Task = Literal["parse", "ocr", "table", "formula", "chart", "seal", "spotting"]
"""`parse` finds blocks and reads each as what it is; the others take the page for one block of that
kind (the prompts of PaddleOCR-VL)."""

TASKS: tuple[Task, ...] = get_args(Task)

PdfMode = Literal["ocr", "auto", "text"]
"""Whether a PDF's own text is taken: never, where it looks right, or always."""

BBox = tuple[float, float, float, float]
"""`(x1, y1, x2, y2)` in pixels of the page image, origin at the top left."""

Polygon = tuple[tuple[float, float], ...]
"""Corner points in pixels, clockwise from the top left."""


class ConfidenceSource(StrEnum):
    """Where a confidence comes from; `NONE` means that the engine gives none and 1.0 is shown."""

    ENGINE = "engine"
    TOKEN_LOGPROB = "token_logprob"  # noqa: S105
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a line, without spaces. `confidence` is in 0..1."""

    text: str
    bbox: BBox
    confidence: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text. `confidence` is in 0..1, `words` is empty where the engine knows none."""

    text: str
    bbox: BBox
    confidence: float
    polygon: Polygon = ()
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A layout block.

    `type` is text, title, table, formula, image, chart, seal, header, footer, …
    """

    type: str
    bbox: BBox
    text: str
    confidence: float = 1.0
    html: str | None = None
    latex: str | None = None
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about a page that its reader should know: `code` is stable, `message` a sentence.
    In the answer it is one of `warnings`."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a VLM server says that it took in and wrote."""

    input: int
    output: int

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)


@dataclass(frozen=True, slots=True)
class PageText:
    """What an engine read on one page, blocks in reading order."""

    blocks: tuple[Block, ...]
    confidence_source: ConfidenceSource
    markdown: str | None = None
    """Set by engines that write Markdown themselves; otherwise it is made from the blocks. Where
    pictures are, it has `picture_marks`."""
    notices: tuple[Notice, ...] = ()
    own: bool = False
    """It is a PDF's own text, and was not read from the picture."""
    layout_ms: float | None = None
    """Finding the blocks took so long, of the time that reading took; None where the engine has no
    such step, or the task needs none."""
    tokens: Tokens | None = None
    """None where no server said."""


class PageStatus(StrEnum):
    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the answer. `number` is 1-based, sizes are pixels."""

    number: int
    width: int
    height: int
    dpi: int
    status: PageStatus = PageStatus.OK
    text: PageText | None = None
    error: str | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    """`queue_ms`, `render_ms`, `infer_ms`, and `layout_ms` of that where it is known; empty for a
    page that failed."""
    cached: bool = False
    """It was read for an earlier or a simultaneous request."""
    rotation: int = 0
    """Degrees clockwise (0, 90, 180, 270) that the stored page was turned by before it was read."""
