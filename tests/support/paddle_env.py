"""A cached virtual environment with the GPU image's libraries and the CPU build of paddle.

Run as a script it prints the environment's python and the folder of tiny models.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import cached_env
from cached_env import ROOT, cache, cached_python, locked
from debian import debian_packages

LOCK = ROOT / "requirements" / "inference-gpu.txt"
PADDLE = "paddlepaddle==3.3.1"
"""The newest CPU build; the GPU builds of the same version are on the vendor's index only."""

SYSTEM_LIBRARIES = {"libgl1": "libGL.so.1", "libglib2.0-0": "libgthread-2.0.so.0"}
"""Debian packages that OpenCV's full build links, and the file that each brings."""


def paddle_python() -> Path:
    """The environment's interpreter; made at first use (about a minute, 1.7 GB)."""
    _system_libraries()
    return cached_python(
        "paddle",
        LOCK.read_bytes() + PADDLE.encode(),
        ("--require-hashes", "-r", str(LOCK)),
        # The lock's versions stay as they are; what paddle alone needs comes with it.
        ("--constraints", str(LOCK), PADDLE),
    )


def tiny_models() -> Path:
    """A folder in the shape of PaddleX's `official_models`, with models that load and say nothing.

    `PaddleOCR-VL-1.6-0.9B` and `PP-DocLayoutV3`, a few megabytes, made through paddle itself.
    """
    python = paddle_python()
    makers = {
        "PaddleOCR-VL-1.6-0.9B": Path(__file__).with_name("tiny_paddleocr_vl.py"),
        "PP-DocLayoutV3": Path(__file__).with_name("tiny_layout.py"),
    }
    name = hashlib.sha256(b"".join(path.read_bytes() for path in makers.values())).hexdigest()[:16]
    home = cache() / f"tiny-models-{python.parent.parent.name.removeprefix('paddle-')}-{name}"
    with locked(home):
        if not home.exists():
            part = home.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            for model, maker in makers.items():
                run(python, str(maker), str(part / model))
            part.rename(home)
    return home


def run(python: Path, *args: str, timeout: float = 300, **env: str) -> str:
    """Run `python args`, with the server's package on its path; returns what it printed."""
    return cached_env.run(python, *args, timeout=timeout, **environment(**env))


def environment(**more: str) -> dict[str, str]:
    """The environment in which `paddle_python() -m ocr_inference` finds the package."""
    return os.environ | {"PYTHONPATH": f"{ROOT / 'inference' / 'src'}:{_about()}"} | more


def _about() -> Path:
    """A folder with what an installed package says of itself: its version is asked for."""
    folder = cached_env.cache() / "about"
    metadata = folder / "ocr_inference-0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True, exist_ok=True)
    metadata.write_text("Metadata-Version: 2.1\nName: ocr-inference\nVersion: 0\n")
    return folder


def _system_libraries() -> None:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    debian_packages(*(p for p, file in SYSTEM_LIBRARIES.items() if file not in known.stdout))


if __name__ == "__main__":
    print(paddle_python())
    print(tiny_models())
