"""A cached virtual environment with the GPU image's libraries and the CPU build of paddle.

Run as a script it prints the environment's python and the folder of tiny models.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from debian import debian_packages

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "inference-gpu.txt"
PADDLE = "paddlepaddle==3.3.1"
"""The newest CPU build; the GPU builds of the same version are on the vendor's index only."""

SYSTEM_LIBRARIES = {"libgl1": "libGL.so.1", "libglib2.0-0": "libgthread-2.0.so.0"}
"""Debian packages that OpenCV's full build links, and the file that each brings."""

INSTALL_TIMEOUT_S = 900


def paddle_python() -> Path:
    """The environment's interpreter; made at first use (about a minute, 1.7 GB)."""
    _system_libraries()
    name = hashlib.sha256(LOCK.read_bytes() + PADDLE.encode()).hexdigest()[:16]
    home = cache() / f"paddle-{name}"
    with _locked(home):
        if not (home / "bin" / "python").exists():
            _install(home)
    return home / "bin" / "python"


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
    with _locked(home):
        if not home.exists():
            part = home.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            for model, maker in makers.items():
                run(python, str(maker), str(part / model))
            part.rename(home)
    return home


def run(python: Path, *args: str, timeout: float = 300, **env: str) -> str:
    """Run `python args`, with the server's package on its path; returns what it printed."""
    done = subprocess.run(
        [str(python), *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**env),
    )
    if done.returncode:
        raise AssertionError(
            f"{' '.join(args)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def environment(**more: str) -> dict[str, str]:
    """The environment in which `paddle_python() -m ocr_inference` finds the package."""
    return os.environ | {"PYTHONPATH": str(ROOT / "inference" / "src")} | more


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "ocr-operator"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _install(home: Path) -> None:
    uv = _uv()
    part = home.with_suffix(".part")
    # Relocatable, because it is renamed once it is whole: a half-made one is never used.
    _call(uv, "venv", "--clear", "--relocatable", "--python", sys.executable, str(part))
    python = str(part / "bin" / "python")
    _call(uv, "pip", "install", "--python", python, "--require-hashes", "-r", str(LOCK))
    # The lock's versions stay as they are; what paddle alone needs comes with it.
    _call(uv, "pip", "install", "--python", python, "--constraints", str(LOCK), PADDLE)
    # Without .pyc files the first import takes three times as long.
    _call(python, "-m", "compileall", "-q", "-j", "2", str(part / "lib"), check=False)
    part.rename(home)


def _uv() -> str:
    done = subprocess.run(
        [ROOT / "testbed" / "uv"], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _call(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def _system_libraries() -> None:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True)
    debian_packages(*(p for p, file in SYSTEM_LIBRARIES.items() if file not in known.stdout))


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    # Test runs in several folders of one machine share the cache.
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(paddle_python())
    print(tiny_models())
