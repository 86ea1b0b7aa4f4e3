"""From a checkout to a read page in two commands: no Kubernetes, and no environment of ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cer import cer
from pages import LETTER, truth

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, **env: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    done = subprocess.run(
        command, cwd=ROOT, env=kept | env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_two_commands_from_a_checkout_to_a_read_page(tmp_path: Path) -> None:
    tools, commands = tmp_path / "tools", tmp_path / "bin"
    uv = run("testbed/uv").strip()
    # The lock's versions: what is new on the registry today is not what is tested here.
    lock = ("--constraints", "requirements/inference-cpu.txt")
    places = {"UV_TOOL_DIR": str(tools), "UV_TOOL_BIN_DIR": str(commands)}
    run(uv, "tool", "install", "./inference[pp-ocr]", *lock, **places)
    text = run(commands / "ocr-inference", "read", LETTER, HOME=str(tmp_path))
    assert cer(truth(LETTER), text) < 0.01
