from dataclasses import replace
from pathlib import Path

import pytest

from ocr_inference.engine.base import EngineConfig, EngineError, UnsupportedOption
from ocr_inference.engine.languages import PP_OCR_6, TESSERACT
from ocr_inference.engine.pp_ocr import threads_for
from ocr_inference.engine.registry import make_engine
from ocr_inference.engine.tesseract import TesseractEngine

CONFIG = EngineConfig(
    model="pp-ocr",
    version="",
    backend="native",
    device="cpu",
    languages=(),
    cache_dir=Path("cache"),
    cpu_threads=1,
)


@pytest.mark.parametrize("language", ["ru", "uk", "bg", "sr", "mk", "be", "el", "ar", "hi", "vi"])
def test_pp_ocr_refuses_what_it_cannot_read_and_names_the_engine_that_can(language: str) -> None:
    with pytest.raises(UnsupportedOption, match=f"'{language}'; the model tesseract can"):
        make_engine(replace(CONFIG, languages=("en", language)))


def test_pp_ocr_takes_the_languages_it_reads() -> None:
    make_engine(replace(CONFIG, languages=("en", "DE", "zh-Hant", "ja", "sr-Latn")))


@pytest.mark.parametrize(
    ("cores", "readers", "threads"),
    [
        (2, 1, 2),
        (2, 2, 1),
        (1, 4, 1),
        (4, 3, 2),
        (5, 4, 1),
        (6, 1, 6),
        (6, 2, 4),
        (9, 4, 2),
        (16, 16, 1),
    ],
)
def test_a_page_has_its_share_of_the_cores(cores: int, readers: int, threads: int) -> None:
    assert threads_for(cores, readers) == threads


def test_few_cores_are_idle_and_few_kinds_of_readers_are_loaded() -> None:
    for cores in range(1, 65):
        threads = [threads_for(cores, readers) for readers in range(1, cores + 1)]
        assert all(0.8 <= n * r / cores <= 1.6 for r, n in enumerate(threads, start=1))
        assert len(set(threads)) <= 8


@pytest.mark.parametrize("model", ["pp-ocr", "tesseract"])
def test_a_cpu_engine_refuses_a_gpu(model: str) -> None:
    with pytest.raises(UnsupportedOption, match=r"runs on cpu only; the device gpu:0"):
        make_engine(replace(CONFIG, model=model, device="gpu:0"))


def data(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"{name}.traineddata").touch()
    return folder


def loaded(languages: tuple[str, ...]) -> None:
    engine = TesseractEngine(replace(CONFIG, model="tesseract", languages=languages))
    for phase in engine.phases()[:2]:
        phase.run()


@pytest.mark.parametrize(
    ("language", "package"),
    [
        ("de", "tesseract-ocr-deu"),
        ("zh-hans", "tesseract-ocr-chi-sim"),
        ("nb", "tesseract-ocr-nor"),
    ],
)
def test_tesseract_names_the_package_that_is_missing(
    language: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSDATA_PREFIX", str(data(tmp_path, "eng")))
    with pytest.raises(UnsupportedOption, match=f"install the Debian package {package}, or put"):
        loaded((language,))


def test_tesseract_refuses_what_is_no_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSDATA_PREFIX", str(data(tmp_path, "eng")))
    with pytest.raises(UnsupportedOption, match=r"no language 'xx'; languages are ISO 639-1"):
        loaded(("xx",))


def test_tesseract_without_any_data_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    with pytest.raises(EngineError, match=r"install the Debian package tesseract-ocr-eng"):
        loaded(())


def test_every_language_code_is_iso_639_1_with_at_most_a_script() -> None:
    for code in [*TESSERACT, *PP_OCR_6]:
        language, _, script = code.partition("-")
        assert len(language) == 2, code
        assert script in ("", "cyrl", "latn", "hans", "hant"), code
