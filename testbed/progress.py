"""Says on stderr what is going on, with the seconds since the start; stdout is for the answer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.process import TestbedError, command, last_lines

# Often enough that nobody takes a ten-minute build for a hang, and no flood.
HEARTBEAT_SECONDS = 60.0


class Progress:
    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.start = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self.start

    def say(self, text: str) -> None:
        if not self.quiet:
            print(f"[{self.elapsed():6.1f}s] {text}", file=sys.stderr, flush=True)

    def run_long(
        self,
        what: str,
        argv: Sequence[str | Path],
        *,
        timeout: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Runs a program that takes minutes, with a sign of life now and then."""
        self.say(what)
        begun = time.monotonic()
        with subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            while True:
                try:
                    output, _ = process.communicate(timeout=HEARTBEAT_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    taken = time.monotonic() - begun
                    if taken > timeout:
                        process.kill()
                        raise TestbedError(
                            f"{command(argv)}: not done in {timeout:.0f} s"
                        ) from None
                    self.say(f"  … {what} ({taken:.0f} s)")
        if process.returncode:
            said = last_lines(output)
            raise TestbedError(f"{command(argv)}: exit {process.returncode}\n{said}")
