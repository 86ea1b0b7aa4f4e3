"""PaddleOCR-VL through PaddleX's own pipeline: a layout model finds blocks, a small VLM reads them.

Backend `native`: both models are in this process. On a CPU it is for tests: one token of a
full-size model takes seconds. For the backends `vllm` and `external` see `paddleocr_vl_remote`.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocr_inference.engine import paddle_blocks, paddle_weights
from ocr_inference.engine.base import (
    Engine,
    EngineConfig,
    EngineError,
    EngineFacts,
    Phase,
    ReadOptions,
    UnsupportedOption,
)
from ocr_inference.engine.paddle_weights import PIPELINES, Pipeline
from ocr_inference.engine.plan import MOST_TOKENS, most_tokens, readable
from ocr_inference.engine.registry import resolve_version
from ocr_inference.engine.warmup import page
from ocr_inference.pipeline.page import Image, PageText, Task

_WARMUP: tuple[Task, ...] = ("parse", "ocr")
"""The second leaves out the layout, which may find nothing on so small a page."""


class PaddleOcrVlEngine:
    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._models: Pipeline = PIPELINES[resolve_version(config.model, config.version)]
        self._home = config.cache_dir / "paddlex"
        self._paddle: Any = None
        self._layout: Any = None
        self._pipeline: Any = None
        self._deadline: float | None = None
        self._wanted: Callable[[], bool] = lambda: True

    def phases(self) -> Sequence[Phase]:
        return [
            Phase("import", self._import),
            Phase("load_layout", self._load_layout),
            Phase("load_model", self._load_model),
            Phase("warmup", self._warmup),
        ]

    def facts(self) -> EngineFacts:
        names = ("paddleocr", "paddlex")
        versions = {name: importlib.metadata.version(name) for name in names}
        versions["paddle"] = self._paddle.__version__
        return EngineFacts(versions=versions, device=_device_name(self._paddle, self._device))

    def read(self, image: Image, options: ReadOptions, timeout: float | None) -> PageText:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._wanted = options.wanted
        self._layout.ms = None
        text = paddle_blocks.page_text(self._predict(image, options))
        return replace(text, layout_ms=self._layout.ms)

    def _predict(self, image: Image, options: ReadOptions) -> Any:
        """PaddleX's result. The languages do not matter: it reads 109 of them at once."""
        whole_page = {} if options.task == "parse" else _page_as(options.task)
        # An array and nothing else: a string would be fetched, if it looked like a URL.
        # Without queues, which cost 0.44 s per call and hide what went wrong.
        (result,) = self._pipeline.predict(image, use_queues=False, **whole_page)
        return result

    @property
    def _device(self) -> str:
        return self._config.device

    def _import(self) -> None:
        _prepare_environment(self._home)
        # Paddle takes SIGTERM for itself when it is imported, in C++: Python would go on believing
        # that its own handler is there.
        before = signal.getsignal(signal.SIGTERM)
        try:
            # Paddle first, and in this, the main thread: imported in a thread that ends, it fails
            # every call after it ("int(Tensor) is not supported in static graph mode").
            import paddle
            import paddleocr  # noqa: F401
        except ImportError as error:
            raise EngineError(
                "paddle or paddleocr is not installed: install ocr-inference with its extra "
                f"paddle and a build of paddlepaddle ({error})."
            ) from error
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)
        self._paddle = paddle
        _check_device(paddle, self._device)

    def _load_layout(self) -> None:
        """The constructor makes both models in one go, so it is left after the first."""

        def create(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            self._layout = TimedLayout(original(*args, **kwargs))
            raise _LayoutMadeError

        with created_by(create):
            try:
                self._construct(self._models.layout, self._models.language)
            except _LayoutMadeError:
                return
        raise EngineError("PaddleX made no layout model; this release of it is not known.")

    def _load_model(self) -> None:
        """The constructor again, with the layout model that there is."""

        def create(original: Callable[..., Any], pipeline: Any, config: Any, **kwargs: Any) -> Any:
            if config["model_name"] == self._models.layout:
                return self._layout
            return original(pipeline, config, **kwargs)

        with created_by(create):
            self._pipeline = self._construct(self._models.layout, self._models.language)
        self._bound(self._pipeline.paddlex_pipeline)

    def _construct(self, *models: str) -> Any:
        """The pipeline, for which these models must be there or on a hub."""
        from paddleocr import PaddleOCRVL

        home = self._home / "official_models"
        folders = {name: paddle_weights.local_folder(home, name) for name in models}
        for name, folder in folders.items():
            if folder is None:
                paddle_weights.check_hubs(home, name)
        with paddle_weights.downloading(self._home):
            return PaddleOCRVL(
                pipeline_version=self._models.version,
                layout_detection_model_dir=_text(folders.get(self._models.layout)),
                vl_rec_model_dir=_text(folders.get(self._models.language)),
                use_doc_orientation_classify=False,
                use_doc_unwarping=False,
                use_chart_recognition=True,
                use_seal_recognition=True,
                use_queues=False,
                device=self._device,
                cpu_threads=self._config.cpu_threads,
            )

    def _warmup(self) -> None:
        for task in _WARMUP:
            self._predict(page(), ReadOptions(task=task))

    def _bound(self, pipeline: Any) -> None:
        """Stop between blocks when the page's time is up, and a block that never ends."""
        model = _language_model(pipeline)
        process = model.process

        def bounded(data: list[dict[str, Any]], **kwargs: Any) -> Any:
            late = self._deadline is not None and time.monotonic() > self._deadline
            if late or not self._wanted():
                raise TimeoutError
            height, width = data[0]["image"].shape[:2]
            if not readable(width, height):
                return model._format_result_dict([""] * len(data), data)
            wanted = kwargs.get("max_new_tokens") or MOST_TOKENS
            kwargs["max_new_tokens"] = min(wanted, most_tokens(width, height))
            return process(data, **kwargs)

        model.process = bounded


class TimedLayout:
    """The layout model, and how long it was called: `ms` is None before the first call."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.ms: float | None = None

    def __call__(self, images: list[Any], **kwargs: Any) -> list[Any]:
        began = time.monotonic()
        found = list(self._model(images, **kwargs))
        self.ms = (self.ms or 0.0) + (time.monotonic() - began) * 1000
        return found


def make(config: EngineConfig) -> Engine:
    """The engine for the backend of `config`."""
    if config.backend == "native":
        return PaddleOcrVlEngine(config)
    from ocr_inference.engine.paddleocr_vl_remote import RemotePaddleOcrVlEngine

    return RemotePaddleOcrVlEngine(config)


class _LayoutMadeError(BaseException):
    """Leaves PaddleX's constructor; not an Exception, which PaddleX might take for its own."""


def _text(folder: Path | None) -> str | None:
    return None if folder is None else str(folder)


def _page_as(task: Task) -> dict[str, Any]:
    """The page as one block of this kind."""
    return {"use_layout_detection": False, "prompt_label": task}


@contextmanager
def created_by(create: Callable[..., Any]) -> Iterator[None]:
    from paddlex.inference.pipelines.base import BasePipeline

    original = BasePipeline.create_model

    def replaced(*args: Any, **kwargs: Any) -> Any:
        return create(original, *args, **kwargs)

    BasePipeline.create_model = replaced
    try:
        yield
    finally:
        BasePipeline.create_model = original


def _language_model(pipeline: Any) -> Any:
    # PaddleX wraps a pipeline once more where several devices were asked for.
    inner = getattr(pipeline, "_pipeline", pipeline)
    return inner.vl_rec_model


def _prepare_environment(home: Path) -> None:
    """Directories that the libraries make when they are imported, in places that can be written."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.gettempdir()
    except OSError as error:
        raise EngineError(f"PaddleX needs a writable cache directory: {error}.") from error
    os.environ["PADDLE_PDX_CACHE_HOME"] = str(home)
    # modelscope asks for the home directory even where it is not used.
    if not os.access(os.environ.get("HOME") or "/nonexistent", os.W_OK):
        os.environ["HOME"] = scratch
    # Otherwise a GPU that is asked for and not there becomes a CPU, a thousand times slower.
    os.environ["PADDLE_PDX_DISABLE_DEVICE_FALLBACK"] = "1"
    os.environ["PADDLEOCR_DISABLE_AUTO_LOGGING_CONFIG"] = "1"


def _check_device(paddle: Any, device: str) -> None:
    if device == "cpu":
        return
    if not paddle.device.is_compiled_with_cuda():
        raise UnsupportedOption(
            f"The device {device} was asked for, and this build of paddle has no GPU support: "
            "use the image for GPUs, or the device cpu."
        )
    count = paddle.device.cuda.device_count()
    if int(device.removeprefix("gpu:")) >= count:
        raise UnsupportedOption(
            f"The device {device} was asked for, and {count} GPUs are visible here: "
            "the pod has to request a GPU, and the node has to have its driver."
        )


def _device_name(paddle: Any, device: str) -> str:
    if device == "cpu":
        return device
    return str(paddle.device.cuda.get_device_name(int(device.removeprefix("gpu:"))))
