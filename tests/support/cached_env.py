"""Virtual environments of their own for what does not go with ours, kept from run to run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSTALL_TIMEOUT_S = 900


def cached_python(name: str, recipe: bytes, *installs: Sequence[str]) -> Path:
    """The interpreter of the environment `name`; made at first use, and anew for a new `recipe`.

    Each of `installs` is what one `uv pip install` is told.
    """
    home = cache() / f"{name}-{hashlib.sha256(recipe).hexdigest()[:16]}"
    with locked(home):
        if not (home / "bin" / "python").exists():
            _make(home, installs)
    return home / "bin" / "python"


def run(python: Path, *args: str, timeout: float = 300, **env: str) -> str:
    """Run `python args`; returns what it printed."""
    done = subprocess.run(
        [str(python), *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | env,
    )
    if done.returncode:
        raise AssertionError(
            f"{' '.join(args)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        )
    return done.stdout


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    path = Path(base) / "ocr-operator"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Test runs in several folders of one machine share the cache."""
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(home: Path, installs: Sequence[Sequence[str]]) -> None:
    uv = _uv()
    part = home.with_suffix(".part")
    # Relocatable, because it is renamed once it is whole: a half-made one is never used.
    _call(uv, "venv", "--clear", "--relocatable", "--python", sys.executable, str(part))
    python = str(part / "bin" / "python")
    for install in installs:
        _call(uv, "pip", "install", "--python", python, *install)
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
