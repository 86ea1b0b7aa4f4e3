"""Tesseract 5 through tesserocr: light, 100 languages, and it keeps a page's deadline."""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ocr_inference.engine.base import (
    EngineConfig,
    EngineError,
    EngineFacts,
    Phase,
    ReadOptions,
    UnsupportedOption,
)
from ocr_inference.engine.languages import TESSERACT, normal
from ocr_inference.engine.warmup import warm
from ocr_inference.pipeline.page import BBox, Block, ConfidenceSource, Image, Line, PageText, Word

DEFAULT_LANGUAGE = "en"

_TESSDATA = (
    Path("/usr/share/tesseract-ocr/5/tessdata"),
    Path("/usr/share/tesseract-ocr/4.00/tessdata"),
    Path("/usr/share/tessdata"),
    Path("/usr/local/share/tessdata"),
)
"""Where Debian, other distributions and a build from source put trained data."""

_MAX_LOADED = 3
"""Sets of languages kept in memory, 80 to 140 MiB each; the one not used for longest goes."""

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114
"""Luma, ITU-R BT.601."""


class TesseractEngine:
    def __init__(self, config: EngineConfig) -> None:
        if config.device != "cpu":
            raise UnsupportedOption(
                f"Tesseract runs on cpu only; the device {config.device} was asked for."
            )
        self._config = config
        self._tesserocr: Any = None
        self._tessdata: Path | None = None
        self._loaded: OrderedDict[str, Any] = OrderedDict()
        self._default = ""

    def phases(self) -> Sequence[Phase]:
        return [
            Phase("import", self._import),
            Phase("load_model", self._load),
            Phase("warmup", lambda: warm(self)),
        ]

    def facts(self) -> EngineFacts:
        return EngineFacts(
            versions={
                "tesseract": self._tesserocr.tesseract_version().split("\n")[0].split()[-1],
                "tesserocr": self._tesserocr.__version__,
            },
            device="cpu",
            extra={"languages": self._default, "tessdata": str(self._tessdata)},
        )

    def read(self, image: Image, options: ReadOptions, timeout: float | None) -> PageText:
        api = self._api(self._names(options.languages) if options.languages else self._default)
        grey = _luma(image)
        height, width = grey.shape
        try:
            api.SetImageBytes(grey.tobytes(), width, height, 1, width)
            api.SetSourceResolution(options.dpi)
            # 0 is no deadline to Tesseract.
            if not api.Recognize(0 if timeout is None else max(1, math.ceil(timeout * 1000))):
                raise TimeoutError
            blocks = tuple(self._paragraphs(api))
        finally:
            api.Clear()
        return PageText(blocks=blocks, confidence_source=ConfidenceSource.ENGINE)

    def _import(self) -> None:
        # Where Tesseract was built with OpenMP (Debian's is, the wheel's is not) its threads wait
        # for each other by spinning: on two cores a page takes ten times as long as without.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        try:
            import tesserocr
        except ImportError as error:
            raise EngineError(
                "tesserocr is not installed: install ocr-inference with its extra tesseract."
            ) from error
        self._tesserocr = tesserocr

    def _load(self) -> None:
        self._tessdata = _find_tessdata()
        asked = [normal(code) for code in self._config.languages]
        languages = asked or [DEFAULT_LANGUAGE]
        # Latin words are everywhere; they cost nothing in accuracy elsewhere.
        english = (self._tessdata / f"{TESSERACT[DEFAULT_LANGUAGE]}.traineddata").exists()
        if DEFAULT_LANGUAGE not in languages and english:
            languages.append(DEFAULT_LANGUAGE)
        self._default = self._names(languages)
        self._api(self._default)

    def _names(self, languages: Sequence[str]) -> str:
        """Tesseract's names joined, as in `rus+eng`; a language without data is refused."""
        assert self._tessdata is not None  # noqa: S101 - set by the load
        names = []
        for code in languages:
            name = TESSERACT.get(normal(code))
            if name is None:
                raise UnsupportedOption(
                    f"Tesseract has no language {code!r}; languages are ISO 639-1 codes, as in en."
                )
            if not (self._tessdata / f"{name}.traineddata").exists():
                raise UnsupportedOption(
                    f"Tesseract has no trained data for {code!r}: install the Debian package "
                    f"{_package(name)}, or put {name}.traineddata where TESSDATA_PREFIX points."
                )
            if name not in names:
                names.append(name)
        return "+".join(names)

    def _api(self, names: str) -> Any:
        if names in self._loaded:
            self._loaded.move_to_end(names)
            return self._loaded[names]
        while len(self._loaded) >= _MAX_LOADED:
            self._loaded.popitem(last=False)[1].End()
        try:
            api = self._tesserocr.PyTessBaseAPI(
                path=f"{self._tessdata}/", lang=names, psm=self._tesserocr.PSM.AUTO
            )
        except RuntimeError as error:
            raise EngineError(f"Tesseract could not load its data for {names}: {error}.") from error
        self._loaded[names] = api
        return api

    def _paragraphs(self, api: Any) -> Iterator[Block]:
        level = self._tesserocr.RIL
        found = api.GetIterator()
        if found is None:  # a blank page
            return
        lines: list[Line] = []
        line: tuple[str, BBox, float] | None = None
        words: list[Word] = []
        for at in self._tesserocr.iterate_level(found, level.WORD):
            if at.IsAtBeginningOf(level.PARA) and lines:
                yield _block(lines)
                lines = []
            if at.IsAtBeginningOf(level.TEXTLINE):  # later it would give what is left of the line
                line, words = _read(at, level.TEXTLINE), []
            if word := _read(at, level.WORD):
                words.append(Word(*word))
            if line and at.IsAtFinalElement(level.TEXTLINE, level.WORD):
                lines.append(Line(*line, words=tuple(words)))
        if lines:
            yield _block(lines)


def _read(found: Any, level: int) -> tuple[str, BBox, float] | None:
    """Text, box and confidence of the line or word that the iterator is at."""
    text, box = _text(found, level), found.BoundingBox(level)
    if not text or box is None:
        return None
    left, top, right, bottom = (float(edge) for edge in box)
    return text, (left, top, right, bottom), min(1.0, max(0.0, found.Confidence(level) / 100))


def _text(found: Any, level: int) -> str:
    try:
        return str(found.GetUTF8Text(level)).strip()
    except RuntimeError:  # a picture or a ruling between the lines
        return ""


def _block(lines: list[Line]) -> Block:
    return Block(
        type="text",
        bbox=_union([line.bbox for line in lines]),
        text="\n".join(line.text for line in lines),
        confidence=sum(line.confidence for line in lines) / len(lines),
        lines=tuple(lines),
    )


def _union(boxes: list[BBox]) -> BBox:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _luma(image: Image) -> Image:
    # In integers and by channel: a float copy of a 40 megapixel page would take 480 MB.
    total = image[:, :, 0].astype(np.uint16) * round(_BLUE * 256)
    total += image[:, :, 1].astype(np.uint16) * round(_GREEN * 256)
    total += image[:, :, 2].astype(np.uint16) * round(_RED * 256)
    return (total >> 8).astype(np.uint8)


def _find_tessdata() -> Path:
    prefix = os.environ.get("TESSDATA_PREFIX")
    places = [Path(prefix), Path(prefix) / "tessdata"] if prefix else list(_TESSDATA)
    for place in places:
        if any(place.glob("*.traineddata")):
            return place
    raise EngineError(
        "Tesseract's trained data was not found: install the Debian package tesseract-ocr-eng, "
        "or set TESSDATA_PREFIX to the directory of the .traineddata files."
    )


def _package(name: str) -> str:
    return f"tesseract-ocr-{name.replace('_', '-')}"
