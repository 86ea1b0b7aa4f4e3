"""Running a build: its log goes to a file, and now and then the step it is at to stderr."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from testbed.process import TestbedError, command, last_lines
from testbed.progress import HEARTBEAT_SECONDS, Progress

# Two slow cores and a slow index; a build that takes longer hangs.
BUILD_TIMEOUT_SECONDS = 3600.0


def stream(
    argv: Sequence[str | Path],
    step: str,
    log: Path,
    progress: Progress,
    environment: Mapping[str, str],
) -> None:
    """Runs a build: everything into the log, and a sign of life with the present step on stderr."""
    with (
        log.open("w") as log_file,
        subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process,
    ):  # fmt: skip
        present = [""]
        reader = threading.Thread(target=follow_steps, args=(process, step, log_file, present))
        reader.start()
        begun = progress.elapsed()
        while True:
            try:
                process.wait(HEARTBEAT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                taken = progress.elapsed() - begun
                if taken > BUILD_TIMEOUT_SECONDS:
                    process.kill()
                    raise TestbedError(f"{command(argv)}: not done in {taken:.0f} s") from None
                progress.say(f"  … {present[0]} ({taken:.0f} s)")
        reader.join()
    if process.returncode:
        steps = re.compile(r"--> |(\[\d+/\d+\] )?STEP ")
        lines = [line for line in log.read_text().splitlines() if not steps.match(line)]
        said = last_lines("\n".join(lines))
        raise TestbedError(
            f"{said}\nbuilding failed (exit {process.returncode}); the full log is {log}"
        )


def follow_steps(
    process: subprocess.Popen[str], step: str, log: TextIO, present: list[str]
) -> None:
    """Copies the output into the log; `present` always holds the newest step."""
    for line in process.stdout or ():
        print(line, end="", file=log, flush=True)
        if re.fullmatch(step, line.strip()):
            present[0] = shortened(line.strip())


def shortened(line: str, width: int = 100) -> str:
    # The mounts of a RUN say nothing about what it does.
    line = re.sub(r"--mount=\S+\s+|\[\d+/\d+\] (?=STEP)", "", re.sub(r"\s+", " ", line))
    return line if len(line) <= width else f"{line[: width - 1]}…"
