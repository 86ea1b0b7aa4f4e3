import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_inference.engine.base import EngineConfig, EngineError, ReadOptions
from ocr_inference.engine.registry import make_engine
from ocr_inference.engine.scripted import ScriptedEngine

PAGE = np.full((100, 200, 3), 255, np.uint8)


def engine(cache_dir: Path, **script: Any) -> ScriptedEngine:
    config = EngineConfig(
        model="scripted",
        version="",
        backend="native",
        device="cpu",
        languages=(),
        cache_dir=cache_dir,
        cpu_threads=1,
        script=json.dumps(script) if script else "",
    )
    made = make_engine(config)
    assert isinstance(made, ScriptedEngine)
    return made


def test_without_a_script_it_loads_and_reads(tmp_path: Path) -> None:
    made = engine(tmp_path)
    for phase in made.phases():
        phase.run()
    page = made.read(PAGE, ReadOptions(), None)
    assert [line.text for line in page.blocks[0].lines] == [
        "The quick brown fox",
        "jumps over the lazy dog.",
    ]
    assert all(0 <= line.bbox[0] < line.bbox[2] <= 200 for line in page.blocks[0].lines)
    assert all(0 <= line.bbox[1] < line.bbox[3] <= 100 for line in page.blocks[0].lines)


def test_a_phase_that_fails_twice_works_in_the_third_child(tmp_path: Path) -> None:
    script = {"phases": [{"name": "load_model", "fail": "No weights.", "fail_times": 2}]}
    for _ in range(2):
        with pytest.raises(EngineError, match=r"^No weights\.$"):
            engine(tmp_path, **script).phases()[0].run()
    engine(tmp_path, **script).phases()[0].run()


def test_a_failing_phase_does_not_hide_the_one_after_it(tmp_path: Path) -> None:
    script = {
        "phases": [
            {"name": "import", "fail": "First.", "fail_times": 1},
            {"name": "load_model", "fail": "Second.", "fail_times": 1},
        ]
    }
    first, second = engine(tmp_path, **script).phases()
    with pytest.raises(EngineError, match="First"):
        first.run()
    with pytest.raises(EngineError, match="Second"):
        second.run()


def test_pages_are_counted_across_children(tmp_path: Path) -> None:
    script = {"pages": [{}, {"fail": "Smudged."}], "text": "{count} {width}x{height} {mean}"}
    assert (
        engine(tmp_path, **script).read(PAGE, ReadOptions(), None).blocks[0].text == "1 200x100 255"
    )
    with pytest.raises(EngineError, match="Smudged"):
        engine(tmp_path, **script).read(PAGE, ReadOptions(), None)
    assert engine(tmp_path, **script).read(PAGE, ReadOptions(), None).blocks[0].text[0] == "3"


def test_engines_that_read_at_once_count_every_page_once(tmp_path: Path) -> None:
    engines = [engine(tmp_path, text="{count}") for _ in range(4)]

    def read(one: ScriptedEngine) -> list[str]:
        return [one.read(PAGE, ReadOptions(), None).blocks[0].text for _ in range(50)]

    with ThreadPoolExecutor(len(engines)) as pool:
        counts = [count for texts in pool.map(read, engines) for count in texts]
    assert sorted(map(int, counts)) == list(range(1, 201))


def test_a_timeout_is_honoured_only_when_the_script_says_so(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        engine(tmp_path, page_seconds=60, stops_by_itself=True).read(PAGE, ReadOptions(), 0.01)
    engine(tmp_path, page_seconds=0.02).read(PAGE, ReadOptions(), 0.01)


def test_a_wrong_script_is_named_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"OCR_SCRIPT is not valid: page_secs: "):
        engine(tmp_path, page_secs=1)
