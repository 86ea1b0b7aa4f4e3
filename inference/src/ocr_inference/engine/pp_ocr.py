"""PP-OCRv6 (small) through RapidOCR and ONNX Runtime; the models are in the wheel.

The longer side of what the detector sees decides between speed and small print. Measured on A4 at
200 dpi, CPU seconds and character errors per page:

    side        10.5 pt        8 pt at 150 dpi   7 pt     5.5 pt   5 degrees askew
    736         6.9 s  0.00 %  10.1 s  0.0 %     1.1 %    34 %     0.0 %
    960         7.5 s  0.06 %  10.7 s  0.0 %     0.0 %    0.1 %    0.0 %
    1280        9.2 s  0.06 %  12.0 s  0.0 %     0.0 %    0.0 %    0.0 %
    its own    13.7 s  0.00 %  15.5 s  0.0 %     -        -        0.0 %

960 it is: a footnote read wrongly costs more than half a second.

RapidOCR's words (`return_word_box`) are not used: in a line with CJK they are single characters,
the confidences beside them are those of letters, and a box that cannot be inverted costs the page.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ocr_inference.engine.base import (
    EngineConfig,
    EngineError,
    EngineFacts,
    Phase,
    ReadOptions,
    UnsupportedOption,
)
from ocr_inference.engine.languages import PP_OCR_6, TESSERACT, normal
from ocr_inference.engine.warmup import warm
from ocr_inference.pipeline.order import blocks_in_order
from ocr_inference.pipeline.page import ConfidenceSource, Image, Line, PageText

_PARAMETERS: dict[str, object] = {
    # The line direction classifier turns long upright lines upside down: 4 to 13 % of the
    # characters of a clean page were lost by it.
    "Global.use_cls": False,
    "Global.log_level": "error",
    "Det.limit_type": "max",
    "Det.limit_side_len": 960,
    # Larger resident memory (1.8 GiB) and no gain.
    "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}


MOST_IDLE = 0.2
"""Of the cores: what more threads than cores cost, too."""


class PpOcrEngine:
    def __init__(self, config: EngineConfig) -> None:
        if config.device != "cpu":
            raise UnsupportedOption(
                f"pp-ocr runs on cpu only; the device {config.device} was asked for."
            )
        _refuse_unknown(config.languages)
        self._config = config
        self._make: Any = None
        self._readers: dict[int, Any] = {}
        """By their threads, which ONNX Runtime fixes when it loads."""

    def phases(self) -> Sequence[Phase]:
        return [
            Phase("import", self._import),
            Phase("load_model", self._load),
            Phase("warmup", self._warmup),
        ]

    def facts(self) -> EngineFacts:
        names = ("rapidocr", "onnxruntime")
        return EngineFacts(
            versions={name: importlib.metadata.version(name) for name in names}, device="cpu"
        )

    def read(self, image: Image, options: ReadOptions, timeout: float | None) -> PageText:  # noqa: ARG002 - cannot be stopped
        _refuse_unknown(options.languages)
        # No further arguments, ever: RapidOCR keeps them for every later call.
        readers = min(options.readers, self._config.readers)
        found = self._readers[threads_for(self._config.cpu_threads, readers)](image)
        lines = []
        if found.txts is not None:
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
                lines.append(_line(corners.tolist(), text, float(score)))
        return PageText(blocks=blocks_in_order(lines), confidence_source=ConfidenceSource.ENGINE)

    def _import(self) -> None:
        # Otherwise ONNX Runtime writes an identifier of the device under HOME and reports to its
        # maker. It reads the variable once, when it is imported.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        try:
            # Named, because rapidocr imports its parts only when they are used.
            import onnxruntime  # noqa: F401
            from rapidocr import RapidOCR
        except ImportError as error:
            raise EngineError(
                "rapidocr is not installed: install ocr-inference with its extra pp-ocr."
            ) from error
        self._make = RapidOCR

    def _load(self) -> None:
        """39 MiB and 0.8 s with the warm-up for each kind."""
        self._readers = {threads: self._loaded(threads) for threads in self._kinds()}

    def _kinds(self) -> dict[int, int]:
        """Numbers of threads that a page may be read with, each with how many read then."""
        cores, most = self._config.cpu_threads, self._config.readers
        return {threads_for(cores, readers): readers for readers in range(1, most + 1)}

    def _loaded(self, threads: int) -> Any:
        own = {"EngineConfig.onnxruntime.intra_op_num_threads": threads}
        reader = self._make(params={**_PARAMETERS, **own})
        # The constructor loads nothing; a client's page would make the sessions.
        with _waiting_without_spinning():
            reader._load_det_model()
            reader._load_rec_model()
        return reader

    def _warmup(self) -> None:
        for readers in self._kinds().values():
            warm(self, readers)


def threads_for(cores: int, readers: int) -> int:
    """All cores for a page that is read alone, else its share: a power of two, so that few kinds of
    readers are loaded, and twice that where too many cores would be idle. Two engines with one
    thread each read a fifth more pages on two cores than with two each."""
    if readers <= 1:
        return cores
    share = 1 << (max(1, cores // readers).bit_length() - 1)
    idle = 1 - share * readers / cores
    return min(cores, 2 * share if idle > MOST_IDLE else share)


@contextmanager
def _waiting_without_spinning() -> Iterator[None]:
    """ONNX Runtime's threads sleep while they wait.

    By default they spin: a third more CPU time for a page (8.2 s against 5.9 s), out of the quota
    of a container that has one. RapidOCR has no parameter for it.
    """
    from rapidocr.inference_engine.onnxruntime.main import OrtInferSession

    session: Any = OrtInferSession
    original = session._init_sess_opts

    def options(config: Any) -> Any:
        made = original(config)
        made.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return made

    session._init_sess_opts = staticmethod(options)
    try:
        yield
    finally:
        session._init_sess_opts = staticmethod(original)


def _line(corners: list[list[float]], text: str, score: float) -> Line:
    across = [x for x, _ in corners]
    down = [y for _, y in corners]
    return Line(
        text=text,
        bbox=(min(across), min(down), max(across), max(down)),
        confidence=min(1.0, max(0.0, score)),
        polygon=tuple((x, y) for x, y in corners),
    )


def _refuse_unknown(languages: Sequence[str]) -> None:
    """What the model does not know it leaves out or replaces by look-alikes, with confidence."""
    for code in languages:
        if normal(code) in PP_OCR_6:
            continue
        advice = "; the model tesseract can" if normal(code) in TESSERACT else ""
        raise UnsupportedOption(f"pp-ocr cannot read the language {code!r}{advice}.")
