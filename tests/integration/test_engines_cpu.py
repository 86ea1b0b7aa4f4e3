"""Tesseract and PP-OCR on real pages: accuracy, deadlines, languages, the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cer import cer
from pages import ARTICLE, LETTER, REPORT, tessdata, truth

from ocr_inference.engine.base import Engine, EngineConfig, ReadOptions, UnsupportedOption
from ocr_inference.engine.pp_ocr import PpOcrEngine
from ocr_inference.engine.registry import make_engine
from ocr_inference.pipeline.decode import Limits, render

MOST_ERRORS = 0.01
LIMITS = Limits(max_pages=10, max_pixels=40_000_000)


def read(
    model: str,
    *files: Path,
    languages: str = "",
    output: str = "text",
    code: int = 0,
    home: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """`ocr-inference read`, as a user runs it."""
    tessdata()
    env = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    env |= {"OCR_MODEL": model, "OCR_LANGUAGES": languages}
    if home is not None:
        env["HOME"] = str(home)
    command = [sys.executable, "-m", "ocr_inference", "read", "--output", output]
    done = subprocess.run(
        [*command, *map(str, files)], capture_output=True, text=True, timeout=300, env=env
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_page_beside_others_is_read_with_its_share_of_the_threads(tmp_path: Path) -> None:
    engine = make_engine(EngineConfig("pp-ocr", "", "native", "cpu", (), tmp_path, 2, readers=2))
    assert isinstance(engine, PpOcrEngine)
    for phase in engine.phases():
        phase.run()
    loaded, image = dict(engine._readers), render(LETTER, 1, 200, LIMITS).image
    texts = []
    for readers, threads in ((1, 2), (2, 1)):
        one = loaded[threads]
        for model in (one.text_det, one.text_rec):
            options = model.session.session.get_session_options()
            assert options.intra_op_num_threads == threads
        engine._readers = {threads: one}  # no other can be taken
        blocks = engine.read(image, ReadOptions(readers=readers), None).blocks
        texts.append([block.text for block in blocks])
    assert texts[0] == texts[1] != []
    assert set(loaded) == {1, 2}


@pytest.mark.parametrize(
    ("model", "page", "languages"),
    [
        ("pp-ocr", LETTER, ""),
        ("pp-ocr", REPORT, "en"),
        ("tesseract", LETTER, ""),
        ("tesseract", REPORT, "en"),
        ("tesseract", ARTICLE, "ru"),
    ],
)
def test_a_printed_page_is_read_with_one_error_in_a_hundred_at_most(
    model: str, page: Path, languages: str, tmp_path: Path
) -> None:
    done = read(model, page, languages=languages, home=tmp_path)
    assert cer(truth(page), done.stdout) <= MOST_ERRORS
    # ONNX Runtime would leave an identifier of the machine and a database of what to report.
    assert list(tmp_path.iterdir()) == []


def test_several_files_are_named_and_a_bad_one_does_not_stop_the_others(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = read("tesseract", bad, LETTER, code=1)
    assert done.stdout.startswith(f"==> {LETTER} <==\nHartwell Measuring Office")
    assert f"{bad}: The image is damaged or not complete." in done.stderr


def test_json_is_one_object_for_each_file_with_lines_inside_the_page() -> None:
    done = read("tesseract", LETTER, output="json")
    (line,) = done.stdout.splitlines()
    body = json.loads(line)
    (page,) = body["pages"]
    assert (page["width"], page["height"], page["dpi"]) == (1654, 2339, 200)
    assert len(page["blocks"]) > 5
    for result in body["results"]:
        left, top, right, bottom = result["bbox"]
        assert 0 <= left < right <= page["width"]
        assert 0 <= top < bottom <= page["height"]
        assert 0.5 < result["confidence"] <= 1
        assert result["confidence_source"] == "engine"


def test_an_engine_that_cannot_load_says_why_and_ends_with_its_own_code() -> None:
    done = read("pp-ocr", LETTER, languages="ru", code=2)
    assert done.stdout == ""
    assert "pp-ocr cannot read the language 'ru'; the model tesseract can" in done.stderr


@pytest.fixture(scope="module")
def load() -> Callable[[str], Engine]:
    tessdata()

    def loaded(model: str) -> Engine:
        config = EngineConfig(
            model=model,
            version="",
            backend="native",
            device="cpu",
            languages=(),
            cache_dir=Path("unused"),
            cpu_threads=2,
        )
        engine = make_engine(config)
        for phase in engine.phases():
            phase.run()
        return engine

    return loaded


@pytest.fixture(scope="module")
def tesseract(load: Callable[[str], Engine]) -> Engine:
    return load("tesseract")


@pytest.fixture(scope="module")
def pp_ocr(load: Callable[[str], Engine]) -> Engine:
    return load("pp-ocr")


def test_tesseract_keeps_a_deadline_and_goes_on_afterwards(tesseract: Engine) -> None:
    image, dpi, *_ = render(LETTER, 1, 200, LIMITS)
    with pytest.raises(TimeoutError):
        tesseract.read(image, ReadOptions(dpi=dpi), 0.05)
    cut = np.ascontiguousarray(image[:400])
    assert "Hartwell" in tesseract.read(cut, ReadOptions(dpi=dpi), 60).blocks[0].text


def test_tesseract_gives_the_words_of_each_line_inside_it(tesseract: Engine) -> None:
    image, dpi, *_ = render(LETTER, 1, 200, LIMITS)
    page = tesseract.read(np.ascontiguousarray(image[:400]), ReadOptions(dpi=dpi), 60)
    lines = [line for block in page.blocks for line in block.lines]
    assert len(lines) > 2
    for line in lines:
        assert " ".join(word.text for word in line.words) == line.text
        left, top, right, bottom = line.bbox
        for word in line.words:
            x1, y1, x2, y2 = word.bbox
            assert left <= x1 < x2 <= right
            assert top <= y1 < y2 <= bottom


def test_tesseract_reads_a_language_that_only_the_request_asks_for(tesseract: Engine) -> None:
    image, dpi, *_ = render(ARTICLE, 1, 200, LIMITS)
    cut = np.ascontiguousarray(image[180:260])
    page = tesseract.read(cut, ReadOptions(dpi=dpi, languages=("ru",)), None)
    assert page.blocks[0].text == "Сколько ждать запуска"
    with pytest.raises(UnsupportedOption, match="tesseract-ocr-deu"):
        tesseract.read(cut, ReadOptions(dpi=dpi, languages=("de",)), None)


def test_pp_ocr_refuses_a_language_of_a_request(pp_ocr: Engine) -> None:
    image = np.full((50, 50, 3), 255, np.uint8)
    with pytest.raises(UnsupportedOption, match="the model tesseract can"):
        pp_ocr.read(image, ReadOptions(languages=("ru",)), None)


@pytest.mark.parametrize("engine", ["tesseract", "pp_ocr"])
@pytest.mark.parametrize("shape", [(1169, 827, 3), (1, 1, 3), (3, 2000, 3), (2000, 3, 3)])
def test_a_page_without_text_has_no_blocks(
    engine: str, shape: tuple[int, int, int], request: pytest.FixtureRequest
) -> None:
    page = request.getfixturevalue(engine).read(np.full(shape, 255, np.uint8), ReadOptions(), 60)
    assert page.blocks == ()


def test_what_the_engines_run_is_known(tesseract: Engine, pp_ocr: Engine) -> None:
    assert set(tesseract.facts().versions) == {"tesseract", "tesserocr"}
    assert tesseract.facts().versions["tesseract"].startswith("5.")
    assert set(pp_ocr.facts().versions) == {"rapidocr", "onnxruntime"}
