"""PaddleOCR-VL with tiny models, through the real pipeline and its loader, as a black box.

The models say the same words for every block, so what is tested is everything around them: the
phases, the blocks, deadlines, signals, and what is said when something is missing.
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


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache directory with weights, as on the volume of a pod."""
    home = tmp_path_factory.mktemp("cache")
    shutil.copytree(tiny_models(), home / "paddlex" / "official_models")
    return home


def read(
    cache: Path, *files: Path, output: str = "json", **env: str
) -> subprocess.CompletedProcess[str]:
    settings = {"OCR_MODEL": "paddleocr-vl", "OCR_CACHE_DIR": str(cache), **env}
    return subprocess.run(
        [paddle_python(), "-m", "ocr_inference", "read", "--output", output, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**settings),
    )


def _preamble(cache: Path) -> str:
    return textwrap.dedent(f"""
        import json, signal, sys, time
        from pathlib import Path
        import numpy as np
        from ocr_inference.engine.base import EngineConfig, EngineError, ReadOptions
        from ocr_inference.engine.registry import make_engine

        def make():
            return make_engine(EngineConfig(
                model="paddleocr-vl", version="", backend="native", device="cpu",
                languages=(), cache_dir=Path({str(cache)!r}), cpu_threads=2))

        said = {{}}
        page = np.full((1169, 827, 3), 255, np.uint8)
    """)


def script(cache: Path, code: str, **env: str) -> dict[str, Any]:
    """Run `code`, which can `make()` an engine; what it puts into `said` comes back."""
    whole = _preamble(cache) + textwrap.dedent(code) + "\nprint('\\n' + json.dumps(said))\n"
    done = subprocess.run(
        [paddle_python(), "-c", whole],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(**env),
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(said, dict)
    return said


LOAD = """
engine = make()
said["phases"] = {}
for phase in engine.phases():
    began = time.monotonic()
    phase.run()
    said["phases"][phase.name] = time.monotonic() - began
"""


def test_a_page_is_read_into_blocks_of_every_kind(cache: Path) -> None:
    done = read(cache, LETTER)
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    (page,) = body["pages"]
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
    assert body["markdown"] == f"# {SENTENCE}\n\n{SENTENCE}\n\n{TABLE}\n\nt = m + 3 s"
    assert {result["confidence_source"] for result in body["results"]} == {"none"}
    assert {result["confidence"] for result in body["results"]} == {1.0}


def test_every_page_of_a_pdf_is_read_and_nothing_else_is_printed(cache: Path) -> None:
    done = read(cache, REPORT, output="text")
    assert done.returncode == 0, done.stderr
    one = f"{SENTENCE}\n\n{SENTENCE}\n\nPhase\tSeconds\nload_model\t11\n\nt = m + 3 s"
    assert done.stdout == f"{one}\f{one}\n"


def test_the_phases_are_timed_one_by_one_and_the_facts_are_known(cache: Path) -> None:
    said = script(
        cache,
        LOAD
        + """
facts = engine.facts()
said["versions"], said["device"] = facts.versions, facts.device
""",
    )
    assert list(said["phases"]) == ["import", "load_layout", "load_model", "warmup"]
    assert said["phases"]["load_layout"] > 0.05
    assert set(said["versions"]) == {"paddle", "paddleocr", "paddlex"}
    assert said["device"] == "cpu"


def test_it_reads_where_only_cache_and_temporary_directory_can_be_written(
    cache: Path, tmp_path: Path
) -> None:
    # What a container runtime sets for a user that is in no passwd.
    done = read(cache, LETTER, output="text", HOME="/", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert not Path("/.paddlex").exists()


def test_signals_are_as_they_were_before_paddle_came(cache: Path) -> None:
    said = script(
        cache,
        """
        import os
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        engine = make()
        engine.phases()[0].run()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        caught = []
        signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        said["caught"] = caught
        """,
    )
    assert said["caught"] == [signal.SIGTERM]


def test_the_command_line_can_be_ended_after_paddle_came(cache: Path) -> None:
    endless = """
        engine = make()
        engine.phases()[0].run()
        print("ready", flush=True)
        time.sleep(60)
    """
    code = textwrap.dedent(endless)
    process = subprocess.Popen(
        [paddle_python(), "-c", _preamble(cache) + code],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        assert any(line == "ready\n" for line in process.stdout)
        process.terminate()
        assert process.wait(timeout=20) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()


def test_a_page_ends_between_blocks_when_its_time_is_up_and_the_next_is_read(cache: Path) -> None:
    said = script(
        cache,
        LOAD
        + """
try:
    engine.read(page, ReadOptions(), 0.001)
    said["first"] = "read"
except TimeoutError:
    said["first"] = "timeout"
said["second"] = len(engine.read(page, ReadOptions(), 60).blocks)
""",
    )
    assert (said["first"], said["second"]) == ("timeout", 5)


def test_odd_sizes_of_pages_are_read_or_refused_and_the_engine_lives_on(cache: Path) -> None:
    said = script(
        cache,
        LOAD
        + """
for shape in ((1, 1, 3), (5, 3000, 3), (3000, 5, 3), (64, 64, 3)):
    try:
        engine.read(np.full(shape, 255, np.uint8), ReadOptions(), None)
    except EngineError as error:
        said[str(shape)] = str(error)
said["blocks"] = len(engine.read(page, ReadOptions(), None).blocks)
""",
    )
    assert said.pop("blocks") == 5
    said.pop("phases")
    assert all(sentence.endswith(".") for sentence in said.values())


def test_a_gpu_is_not_replaced_by_a_cpu(cache: Path) -> None:
    done = read(cache, LETTER, OCR_DEVICE="gpu:0")
    assert done.returncode == 2
    assert "The device gpu:0 was asked for, and this build of paddle has no GPU" in done.stderr


def test_missing_weights_are_named_within_seconds_with_the_place_for_them(tmp_path: Path) -> None:
    said = script(
        tmp_path,
        """
        import_, layout, *_ = make().phases()
        import_.run()
        began = time.monotonic()
        try:
            layout.run()
        except EngineError as error:
            said["sentence"] = str(error)
        said["seconds"] = time.monotonic() - began
        """,
        # Nothing answers there, as for a pod that may not reach the world.
        HTTPS_PROXY="http://127.0.0.1:9",
        HTTP_PROXY="http://127.0.0.1:9",
    )
    place = tmp_path / "paddlex" / "official_models" / "PP-DocLayoutV3"
    assert said["sentence"] == (
        f"The weights of PP-DocLayoutV3 are not in {place}, and no model hub can be reached to "
        "download them: put them there, or let the server reach a hub."
    )
    assert said["seconds"] < 15


def test_weights_that_were_cut_off_are_named(cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "paddlex" / "official_models" / LANGUAGE_MODEL / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    done = read(tmp_path, LETTER)
    assert done.returncode == 2
    assert f"{weights} is shorter than it says" in done.stderr


@pytest.mark.parametrize(
    ("version", "folder", "model"),
    [
        ("1.6", "PaddleOCR-VL-1.6", "PaddleOCR-VL-1.6-0.9B"),
        ("1.5", "PaddleOCR-VL-1.5", "PaddleOCR-VL-1.5-0.9B"),
    ],
)
def test_other_versions_load_from_paddlexs_own_folders(
    version: str, folder: str, model: str, cache: Path, tmp_path: Path
) -> None:
    models = tmp_path / "paddlex" / "official_models"
    shutil.copytree(cache / "paddlex" / "official_models" / LANGUAGE_MODEL, models / folder)
    shutil.copytree(
        cache / "paddlex" / "official_models" / "PP-DocLayoutV3", models / "PP-DocLayoutV3"
    )
    (models / folder / "inference.yml").write_text(f"Global:\n  model_name: {model}\n")
    done = read(tmp_path, LETTER, output="text", OCR_MODEL_VERSION=version)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(SENTENCE)
