"""Where the weights of PaddleOCR-VL are, and how they get there."""

from __future__ import annotations

import json
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_inference.engine.base import EngineError


@dataclass(frozen=True, slots=True)
class Pipeline:
    """PaddleX's name of a version, and the models that it is made of."""

    version: str
    layout: str
    language: str


PIPELINES = {
    "1.6": Pipeline("v1.6", "PP-DocLayoutV3", "PaddleOCR-VL-1.6-0.9B"),
    "1.5": Pipeline("v1.5", "PP-DocLayoutV3", "PaddleOCR-VL-1.5-0.9B"),
    "1.0": Pipeline("v1", "PP-DocLayoutV2", "PaddleOCR-VL-0.9B"),
}

HUB_CHECK_S = 5.0
"""PaddleX waits a second for each of four hubs, but a resolver that drops packets takes longer."""

_ABANDONED_S = 3600.0
"""A download that wrote nothing for so long was killed."""


def local_folder(models: Path, name: str) -> Path | None:
    """The folder of a model that is there already, under PaddleX's name for it or the model's."""
    for folder in _folders(models, name):
        if folder.is_dir():
            _refuse_incomplete(folder)
            return folder
    return None


def check_hubs(models: Path, name: str) -> None:
    """Say within seconds that a model is missing; PaddleX would go on trying for half a minute."""
    from paddlex.inference.utils.official_models import official_models
    from paddlex.utils.flags import DISABLE_MODEL_SOURCE_CHECK

    if DISABLE_MODEL_SOURCE_CHECK or _any_available(official_models.hoster_candidates):
        return
    raise EngineError(
        f"The weights of {name} are not in {_folders(models, name)[0]}, and no model hub can be "
        "reached to download them: put them there, or let the server reach a hub."
    )


@contextmanager
def downloading(home: Path) -> Iterator[None]:
    """Downloads go to the volume of the weights.

    PaddleX downloads to the temporary directory and moves the folder. From one volume to another
    that is a copy, which a kill leaves half done and which the next start takes for complete; and
    a temporary volume may be too small for two gigabytes. On one volume it is a rename.
    """
    parts = home / "downloads"
    try:
        parts.mkdir(parents=True, exist_ok=True)
    except OSError:
        # The weights may be on a volume that is only read.
        yield
        return
    _sweep(parts)
    before = tempfile.tempdir
    tempfile.tempdir = str(parts)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _folders(models: Path, name: str) -> list[Path]:
    short = name.replace("-0.9B", "")
    return [models / short / name, models / short, models / name][0 if short != name else 1 :]


def _any_available(hosters: list[Any]) -> bool:
    answers: queue.Queue[bool] = queue.Queue()
    for hoster in hosters:
        # Daemons: one that hangs in the resolver must not keep the process from ending.
        threading.Thread(
            target=lambda hoster=hoster: answers.put(bool(hoster.is_available())), daemon=True
        ).start()
    end = time.monotonic() + HUB_CHECK_S
    for _ in hosters:
        try:
            if answers.get(timeout=max(0.0, end - time.monotonic())):
                return True
        except queue.Empty:
            return False
    return False


def _refuse_incomplete(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        if file.stat().st_size < _safetensors_size(file):
            raise EngineError(
                f"{file} is shorter than it says, as after a copy that was cut off: "
                "delete its folder and start again."
            )


def _safetensors_size(file: Path) -> int:
    """What the header promises: eight bytes of length, the header, then the tensors.

    https://github.com/huggingface/safetensors#format
    """
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length < 100_000_000 else b""
    try:
        tensors = json.loads(header)
    except ValueError:
        return 8 + length
    ends = [tensor["data_offsets"][1] for key, tensor in tensors.items() if key != "__metadata__"]
    return 8 + length + max(ends, default=0)


def _sweep(parts: Path) -> None:
    """Remove what killed downloads left; another replica may be downloading beside us."""
    for part in parts.iterdir():
        newest = max((file.lstat().st_mtime for file in [part, *part.rglob("*")]), default=0.0)
        if time.time() - newest > _ABANDONED_S:
            shutil.rmtree(part, ignore_errors=True)
