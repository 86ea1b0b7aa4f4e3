"""PaddleOCR-VL with the backends `vllm` and `external`: the layout here, the VLM on a server.

PaddleX's own client can neither stream nor cancel, and gives no probabilities. So its pipeline runs
twice for a page, with a stand-in for the VLM: in `plan` the stand-in takes down what it is asked,
in `finish` it gives the server's answers, and PaddleX makes tables, formulas and Markdown of them
as it always does. The layout model runs once: `finish` is told what it found. The load has the
phases `import`, `load_layout` and `warmup`; no weights of the VLM are needed here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from ocr_inference.engine import paddle_blocks
from ocr_inference.engine.base import EngineConfig, EngineError, Phase, ReadOptions
from ocr_inference.engine.paddleocr_vl import PaddleOcrVlEngine, TimedLayout, created_by
from ocr_inference.engine.plan import BlockAnswer, PagePlan, VlmBlock, most_tokens, readable
from ocr_inference.engine.warmup import page
from ocr_inference.pipeline.bgr import to_pillow
from ocr_inference.pipeline.page import Image, PageText

_MARK = re.compile(r"answer (\d+)")


class RemotePaddleOcrVlEngine(PaddleOcrVlEngine):
    def __init__(self, config: EngineConfig) -> None:
        super().__init__(config)
        self._vlm = _StandIn()

    def phases(self) -> Sequence[Phase]:
        return [
            Phase("import", self._import),
            Phase("load_layout", self._load_layout),
            Phase("warmup", self._warmup),
        ]

    def read(self, image: Image, options: ReadOptions, timeout: float | None) -> PageText:  # noqa: ARG002
        raise EngineError("The blocks of a page are read by a VLM server, which only serve asks.")

    def plan(self, image: Image, options: ReadOptions, crops: BinaryIO) -> PagePlan:
        self._vlm.plan(crops)
        self._layout.forget()
        result = self._predict(image, options)
        # The page made of the marks tells which block takes which answer.
        marks = [_MARK.search(block.content or "") for block in result["parsing_res_list"]]
        takes = [None if mark is None else int(mark[1]) for mark in marks]
        if options.task != "parse":
            takes = [0 if self._vlm.blocks else None] * len(takes)
        state = {"boxes": self._layout.found, "layout_ms": self._layout.ms, "takes": takes}
        return PagePlan(tuple(self._vlm.blocks), state)

    def finish(
        self,
        image: Image,
        options: ReadOptions,
        state: dict[str, Any],
        answers: Sequence[BlockAnswer],
    ) -> PageText:
        self._vlm.answer([answer.text for answer in answers])
        self._layout.found = state["boxes"]
        result = self._predict(image, options)
        confidences = [None if n is None else answers[n].confidence for n in state["takes"]]
        return replace(paddle_blocks.page_text(result, confidences), layout_ms=state["layout_ms"])

    def _load_layout(self) -> None:
        def create(original: Callable[..., Any], pipeline: Any, config: Any, **kwargs: Any) -> Any:
            if config["model_name"] == self._models.layout:
                self._layout = _RememberedLayout(original(pipeline, config, **kwargs))
                return self._layout
            return self._vlm

        with created_by(create):
            self._pipeline = self._construct(self._models.layout)

    def _warmup(self) -> None:
        plan = self.plan(page(), ReadOptions(), io.BytesIO())
        answers = [BlockAnswer("") for _ in plan.blocks]
        self.finish(page(), ReadOptions(), plan.state, answers)


class _RememberedLayout(TimedLayout):
    """The layout model, called only while nothing is known of the page."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.found: list[dict[str, Any]] | None = None
        """The boxes of the page, as JSON."""

    def forget(self) -> None:
        self.found, self.ms = None, None

    def __call__(self, images: list[Any], **kwargs: Any) -> list[dict[str, Any]]:
        if self.found is None:
            (result,) = super().__call__(images, **kwargs)
            self.found = [_plain(box) for box in result["boxes"]]
        # The same in both runs: what went through JSON.
        return [{"input_path": None, "page_index": None, "boxes": self.found}]


class _StandIn:
    """In the place of PaddleX's VLM. Its answers to `plan` are marks."""

    def __init__(self) -> None:
        self.blocks: list[VlmBlock] = []
        self._crops: BinaryIO | None = None
        self._answers: list[str] = []
        self._asked = 0

    def plan(self, crops: BinaryIO) -> None:
        self.blocks, self._crops = [], crops

    def answer(self, answers: list[str]) -> None:
        self._crops, self._answers, self._asked = None, answers, 0

    def predict(self, data: Sequence[dict[str, Any]], **kwargs: Any) -> list[dict[str, Any]]:
        return [{"result": self._result(item, kwargs)} for item in data]

    def close(self) -> None:
        """PaddleX does, at the end."""

    def _result(self, item: dict[str, Any], asked: dict[str, Any]) -> str:
        height, width = item["image"].shape[:2]
        if not readable(width, height):
            return ""
        if self._crops is None:
            self._asked += 1
            return self._answers[self._asked - 1]
        offset = self._crops.tell()
        # As PaddleX's client sends it: not scaled, and in Pillow's default quality.
        to_pillow(item["image"]).save(self._crops, "JPEG")
        self.blocks.append(
            VlmBlock(
                offset=offset,
                length=self._crops.tell() - offset,
                prompt=item["query"],
                max_tokens=most_tokens(width, height),
                min_pixels=asked["min_pixels"],
                max_pixels=asked["max_pixels"],
                keep_special_tokens=not asked["skip_special_tokens"],
            )
        )
        return f"answer {len(self.blocks) - 1}"


def _plain(value: Any) -> Any:
    """Without NumPy's types."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value
