"""The command line itself: what it imports, and which settings its flags set."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from ocr_inference import cli
from ocr_inference.version import VERSION

HEAVY = ("rich.console", "urllib3", "fastapi", "uvicorn", "numpy", "PIL", "boto3", "aiohttp")


def test_the_engine_child_does_not_wait_for_what_other_commands_import() -> None:
    code = (
        "import sys, ocr_inference.cli, ocr_inference.caches, ocr_inference.engine.spawn\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `read` is called with."""
    from ocr_inference.command import read

    calls: list[Any] = []

    def note(arguments: Any, settings: Any) -> int:
        calls.append((arguments, settings))
        return 0

    monkeypatch.setattr(read, "read", note)
    return calls


def settings_of(given: list[Any], *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(cli.app, ["read", "page.png", *arguments])
    assert result.exit_code == code, result.output
    return given[-1][1] if given else None


def test_the_environment_holds_where_no_flag_is_given(
    given: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_MODEL", "paddleocr-vl")
    monkeypatch.setenv("OCR_MODEL_VERSION", "1.5")
    monkeypatch.setenv("OCR_LANGUAGES", "en,ru")
    settings = settings_of(given)
    assert (settings.model, settings.model_version) == ("paddleocr-vl", "1.5")
    assert settings.languages == ("en", "ru")
    flagged = settings_of(given, "--language", "de", "--language", "FR", "--workers", "3")
    assert (flagged.languages, flagged.engine_workers) == (("de", "fr"), 3)


def test_another_model_leaves_what_the_environment_says_of_its_own(
    given: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_MODEL", "paddleocr-vl")
    monkeypatch.setenv("OCR_MODEL_VERSION", "1.5")
    monkeypatch.setenv("OCR_BACKEND", "external")
    other = settings_of(given, "--model", "tesseract")
    assert (other.model, other.model_version, other.backend) == ("tesseract", "", "native")
    same = settings_of(given, "--model", "paddleocr-vl")
    assert (same.model_version, same.backend) == ("1.5", "external")


def test_a_wrong_environment_is_said_without_a_trace(
    given: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OCR_MAX_PIXELS", "many")
    settings_of(given, code=2)
    assert given == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--output", "docx"), "'--output': 'docx' is not one of 'text'"),
        (("--dpi", "9"), "'--dpi': it should be greater than or equal to 72"),
        (("--to", __file__), "is a file, and a folder is wanted"),
    ],
)
def test_a_wrong_flag_is_said_in_plain_words(flags: tuple[str, ...], words: str) -> None:
    result = CliRunner().invoke(cli.app, ["read", "page.png", *flags], terminal_width=300)
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert words in said


def test_the_program_says_its_version() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"{VERSION}\n")


@pytest.mark.parametrize("numbers", ["0", "1,,2", "two", "-1"])
def test_a_bench_is_told_how_many_at_a_time(numbers: str) -> None:
    result = CliRunner().invoke(cli.app, ["bench", "--concurrency", numbers])
    assert result.exit_code == 2
    assert "--concurrency" in result.output


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://", "http://a:port"])
def test_a_bench_is_told_a_servers_address(url: str) -> None:
    result = CliRunner().invoke(cli.app, ["bench", "--url", url])
    assert result.exit_code == 2
    assert "--url" in result.output and "http://127.0.0.1:8081" in result.output
