import json
import os
import tempfile
import time
from pathlib import Path

import pytest

from ocr_inference.engine.base import EngineError
from ocr_inference.engine.paddle_weights import PIPELINES, downloading, local_folder
from ocr_inference.engine.registry import MODELS


def safetensors(path: Path, size: int, missing: int = 0) -> None:
    header = json.dumps(
        {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}, "__metadata__": {}}
    ).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size - missing))


def test_every_version_of_the_registry_has_a_pipeline() -> None:
    assert tuple(PIPELINES) == MODELS["paddleocr-vl"].versions


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("PP-DocLayoutV3", "PP-DocLayoutV3"),
        ("PaddleOCR-VL-1.6-0.9B", "PaddleOCR-VL-1.6"),
        ("PaddleOCR-VL-1.6-0.9B", "PaddleOCR-VL-1.6-0.9B"),
        ("PaddleOCR-VL-0.9B", "PaddleOCR-VL"),
        ("PaddleOCR-VL-0.9B", "PaddleOCR-VL/PaddleOCR-VL-0.9B"),
    ],
)
def test_weights_are_found_under_either_name(name: str, folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir(parents=True)
    assert local_folder(tmp_path, name) == tmp_path / folder


def test_weights_that_are_not_there_are_none(tmp_path: Path) -> None:
    assert local_folder(tmp_path, "PP-DocLayoutV3") is None


def test_a_copy_that_was_cut_off_is_named(tmp_path: Path) -> None:
    file = tmp_path / "PaddleOCR-VL-1.6" / "model.safetensors"
    safetensors(file, 1000)
    assert local_folder(tmp_path, "PaddleOCR-VL-1.6-0.9B") == file.parent
    safetensors(file, 1000, missing=1)
    with pytest.raises(EngineError, match=r"model\.safetensors is shorter than it says"):
        local_folder(tmp_path, "PaddleOCR-VL-1.6-0.9B")
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(EngineError, match="delete its folder"):
        local_folder(tmp_path, "PaddleOCR-VL-1.6-0.9B")


def test_downloads_stay_on_the_volume_of_the_weights(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with downloading(tmp_path), tempfile.TemporaryDirectory() as part:
        assert Path(part).is_relative_to(tmp_path)
    assert tempfile.gettempdir() == before


def test_an_abandoned_download_is_removed_and_a_running_one_is_not(tmp_path: Path) -> None:
    abandoned, running = (tmp_path / "downloads" / name for name in ("old", "new"))
    long_ago = time.time() - 86400
    for folder in (abandoned, running):
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x")
        os.utime(folder / "part", (long_ago, long_ago))
        os.utime(folder, (long_ago, long_ago))
    (running / "part").write_bytes(b"xy")
    with downloading(tmp_path):
        assert running.exists()
        assert not abandoned.exists()
