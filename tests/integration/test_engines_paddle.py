"""PaddleOCR-VL with tiny models, through the real pipeline and its loader, as a black box.

The models say the same words for every block, so what is tested is everything around them: the
phases, the blocks, deadlines, signals, and what is said when something is missing. Each process
spends ten seconds on imports; tests of one kind share one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
from paddle_env import environment, paddle_python, tiny_models
from pages import LETTER, REPORT

SENTENCE = "Tiny weights say the same words for every block."
TABLE = (
    "<table><tr><td>Phase</td><td>Seconds</td></tr><tr><td>load_model</td><td>11</td></tr></table>"
)
LANGUAGE_MODEL = "PaddleOCR-VL-1.6-0.9B"

# Nothing answers there, as for a pod that may not reach the world.
NO_HUB = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory with weights, as on the volume of a pod."""
    home = tmp_path_factory.mktemp("cache")
    shutil.copytree(tiny_models(), home / "paddlex" / "official_models")
    return home


def read(cache: Path, *files: Path, **env: str) -> list[dict[str, Any]]:
    """`ocr-inference read --output json`, as a user runs it; one object per file."""
    settings = {"OCR_MODEL": "paddleocr-vl", "OCR_CACHE_DIR": str(cache), **NO_HUB, **env}
    done = subprocess.run(
        [paddle_python(), "-m", "ocr_inference", "read", "--output", "json", *map(str, files)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**settings),
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _whole(code: str, cache: Path) -> str:
    before = f"""
        import json, os, signal, sys, time
        from pathlib import Path
        import numpy as np
        from ocr_inference.engine.base import EngineConfig, EngineError, ReadOptions
        from ocr_inference.engine.registry import make_engine

        def make(cache={str(cache)!r}, device="cpu"):
            return make_engine(EngineConfig(
                model="paddleocr-vl", version="", backend="native", device=device,
                languages=(), cache_dir=Path(cache), cpu_threads=2))

        def failure(call):
            try:
                call()
            except EngineError as error:
                return str(error)
            except TimeoutError:
                return "timeout"

        said = {{}}
        page = np.full((1169, 827, 3), 255, np.uint8)
    """
    return "\n".join([textwrap.dedent(before), textwrap.dedent(code), "print(json.dumps(said))"])


def script(code: str, cache: Path) -> dict[str, Any]:
    """Run `code`, which can `make()` engines; what it puts into `said` comes back."""
    done = subprocess.run(
        [paddle_python(), "-c", _whole(code, cache)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**NO_HUB),
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(said, dict)
    return said


@pytest.fixture(scope="module")
def documents(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    # HOME is what a container runtime sets for a user that is in no passwd.
    scratch = tmp_path_factory.mktemp("scratch")
    return read(cache, LETTER, REPORT, HOME="/", TMPDIR=str(scratch))


def test_a_page_is_read_into_blocks_of_every_kind(documents: list[dict[str, Any]]) -> None:
    letter, _ = documents
    (page,) = letter["pages"]
    assert [(block["type"], block["text"]) for block in page["blocks"]] == [
        ("title", SENTENCE),
        ("text", SENTENCE),
        ("table", "Phase\tSeconds\nload_model\t11"),
        ("formula", "t = m + 3 s"),
        ("image", ""),
    ]
    assert page["blocks"][2]["html"] == TABLE
    assert page["blocks"][3]["latex"] == "t = m + 3 s"
    assert page["blocks"][0]["bbox"] == pytest.approx([83, 47, 1571, 234], abs=1)
    assert {result["confidence_source"] for result in letter["results"]} == {"none"}
    assert {result["confidence"] for result in letter["results"]} == {1.0}


def test_the_layout_is_timed_and_tokens_are_not_counted(documents: list[dict[str, Any]]) -> None:
    for document in documents:
        assert 0 < document["timings"]["layout_ms"] < document["timings"]["infer_ms"]
        assert document["usage"]["input_tokens"] is None


def test_markdown_is_the_pipelines_without_pictures(documents: list[dict[str, Any]]) -> None:
    letter, _ = documents
    assert letter["markdown"] == f"# {SENTENCE}\n\n{SENTENCE}\n\n{TABLE}\n\nt = m + 3 s"


def test_every_page_of_a_pdf_is_read(documents: list[dict[str, Any]]) -> None:
    _, report = documents
    one = f"{SENTENCE}\n\n{SENTENCE}\n\nPhase\tSeconds\nload_model\t11\n\nt = m + 3 s"
    assert report["text"] == f"{one}\f{one}"


@pytest.fixture(scope="module")
def loaded(cache: Path) -> dict[str, Any]:
    code = """
        engine = make()
        said["phases"] = {}
        for phase in engine.phases():
            began = time.monotonic()
            phase.run()
            said["phases"][phase.name] = time.monotonic() - began
        said["versions"], said["device"] = engine.facts().versions, engine.facts().device

        said["late"] = failure(lambda: engine.read(page, ReadOptions(), 0.001))
        said["after being late"] = len(engine.read(page, ReadOptions(), 60).blocks)

        said["odd"] = [
            failure(lambda: engine.read(np.full(shape, 255, np.uint8), ReadOptions(), None))
            for shape in ((1, 1, 3), (5, 3000, 3), (3000, 5, 3), (64, 64, 3))
        ]
        said["after odd pages"] = len(engine.read(page, ReadOptions(), None).blocks)
    """
    return script(code, cache)


def test_the_phases_are_timed_one_by_one_and_the_facts_are_known(loaded: dict[str, Any]) -> None:
    assert list(loaded["phases"]) == ["import", "load_layout", "load_model", "warmup"]
    assert min(loaded["phases"].values()) > 0.05
    assert set(loaded["versions"]) == {"paddle", "paddleocr", "paddlex"}
    assert loaded["device"] == "cpu"


def test_a_page_ends_between_blocks_when_its_time_is_up(loaded: dict[str, Any]) -> None:
    assert (loaded["late"], loaded["after being late"]) == ("timeout", 5)


def test_pages_of_odd_sizes_do_not_hurt_the_engine(loaded: dict[str, Any]) -> None:
    assert all(said is None or said.endswith(".") for said in loaded["odd"])
    assert loaded["after odd pages"] == 5


def test_signals_are_as_they_were_before_paddle_came(cache: Path) -> None:
    code = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        make().phases()[0].run()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        print("ignored", flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        make().phases()[0].run()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    """
    done = subprocess.run(
        [paddle_python(), "-c", _whole(code, cache)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
    )
    assert done.stdout == "ignored\n", done.stderr
    assert done.returncode == -signal.SIGTERM


@pytest.fixture(scope="module")
def refusals(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    empty, cut = tmp_path_factory.mktemp("empty"), tmp_path_factory.mktemp("cut")
    shutil.copytree(cache, cut, dirs_exist_ok=True)
    weights = cut / "paddlex" / "official_models" / LANGUAGE_MODEL / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    code = f"""
        said["gpu"] = failure(make(device="gpu:0").phases()[0].run)
        import_, layout, *_ = make({str(empty)!r}).phases()
        import_.run()
        began = time.monotonic()
        said["missing"] = failure(layout.run)
        said["seconds"] = time.monotonic() - began
        said["cut"] = failure(make({str(cut)!r}).phases()[1].run)
    """
    return {"empty": str(empty), "weights": str(weights), **script(code, cache)}


def test_a_gpu_is_not_replaced_by_a_cpu(refusals: dict[str, Any]) -> None:
    assert "gpu:0 was asked for, and this build of paddle has no GPU support" in refusals["gpu"]


def test_missing_weights_are_named_within_seconds_with_their_place(
    refusals: dict[str, Any],
) -> None:
    place = Path(refusals["empty"]) / "paddlex" / "official_models" / "PP-DocLayoutV3"
    assert refusals["missing"] == (
        f"The weights of PP-DocLayoutV3 are not in {place}, and no model hub can be reached to "
        "download them: put them there, or let the server reach a hub."
    )
    assert refusals["seconds"] < 15


def test_weights_that_were_cut_off_are_named(refusals: dict[str, Any]) -> None:
    assert refusals["cut"].startswith(f"{refusals['weights']} is shorter than it says")


def test_another_version_is_read_from_the_folder_that_paddlex_downloads_to(
    cache: Path, tmp_path: Path
) -> None:
    have, models = (home / "paddlex" / "official_models" for home in (cache, tmp_path))
    shutil.copytree(have / "PP-DocLayoutV3", models / "PP-DocLayoutV3")
    shutil.copytree(have / LANGUAGE_MODEL, models / "PaddleOCR-VL-1.5")
    description = "Global:\n  model_name: PaddleOCR-VL-1.5-0.9B\n"
    (models / "PaddleOCR-VL-1.5" / "inference.yml").write_text(description)
    (letter,) = read(tmp_path, LETTER, OCR_MODEL_VERSION="1.5")
    assert letter["text"].startswith(SENTENCE)
