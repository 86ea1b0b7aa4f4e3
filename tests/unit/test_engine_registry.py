from dataclasses import replace
from pathlib import Path

import pytest

from ocr_inference.engine.base import EngineConfig, EngineError
from ocr_inference.engine.registry import make_engine, resolve_version

CONFIG = EngineConfig(
    model="scripted",
    version="1",
    backend="native",
    device="cpu",
    languages=(),
    cache_dir=Path("cache"),
    cpu_threads=1,
)


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match="known are paddleocr-vl, pp-ocr, scripted, tesseract"):
        make_engine(replace(CONFIG, model="gpt"))


def test_an_unknown_version_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match=r"no version '7'; known are 1\.6, 1\.5, 1\.0"):
        make_engine(replace(CONFIG, model="paddleocr-vl", version="7"))


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match="no backend 'vllm'; known are native"):
        make_engine(replace(CONFIG, model="tesseract", version="5", backend="vllm"))


def test_an_empty_version_is_the_newest() -> None:
    assert resolve_version("paddleocr-vl", "") == "1.6"
