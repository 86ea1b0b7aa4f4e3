"""Running other programs: always with a timeout, and with an error that shows what they said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LAST_LINES = 30


class TestbedError(Exception):
    """Something the person at the keyboard should read; shown without a traceback."""

    __test__ = False  # pytest would take a class of this name for tests


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """What the program wrote to stdout; a TestbedError if it failed."""
    try:
        done = subprocess.run(
            argv,
            timeout=timeout,
            env=env,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise TestbedError(f"{command(argv)}: no answer in {timeout:.0f} s") from e
    except FileNotFoundError as e:
        raise TestbedError(f"{argv[0]} is not installed") from e
    if done.returncode:
        said = last_lines(done.stderr or done.stdout)
        raise TestbedError(f"{command(argv)}: exit {done.returncode}\n{said}")
    return done.stdout


def command(argv: Sequence[str | Path]) -> str:
    return " ".join([Path(argv[0]).name, *map(str, argv[1:4])])


def last_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LAST_LINES:])
