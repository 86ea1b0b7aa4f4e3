"""The first process inside a cluster's namespaces: starts units, starts them again when they die,
buries orphans.

A unit is a file STATE/units/NAME with a command line as a JSON list; SIGHUP says that there is a
new one. Everything else in the namespaces descends from this process, so killing it ends all of
them.

Runs as a script of its own, `init.py STATE LOGS`, and imports nothing of the package: the cluster
outlives the clone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

RESTART_SECONDS = 1.0
WAKE_UP = {signal.SIGCHLD, signal.SIGHUP}


def main(state: Path, logs: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKE_UP)
    running: dict[int, str] = {}
    not_before: dict[str, float] = {}
    while True:
        now = time.monotonic()
        for unit in sorted((state / "units").iterdir()):
            if unit.name in running.values() or not_before.get(unit.name, 0) > now:
                continue
            try:
                running[start(unit, logs)] = unit.name
            except OSError as e:
                report(logs, f"{unit.name} does not start: {e}")
                not_before[unit.name] = now + RESTART_SECONDS
        signal.sigtimedwait(WAKE_UP, RESTART_SECONDS)
        for pid, status in dead_children():
            if name := running.pop(pid, None):
                report(logs, f"{name} ended: {os.waitstatus_to_exitcode(status)}")
                not_before[name] = time.monotonic() + RESTART_SECONDS


def start(unit: Path, logs: Path) -> int:
    argv = json.loads(unit.read_text())
    log = logs / f"{unit.name}.log"
    return os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsigmask=(),
        # Python ignores these, and what is ignored stays so in children.
        setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        setsid=True,
    )


def dead_children() -> list[tuple[int, int]]:
    dead = []
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            dead.append(found)
    except ChildProcessError:
        pass
    return dead


def report(logs: Path, line: str) -> None:
    with (logs / "init.log").open("a") as log:
        log.write(f"{time.strftime('%FT%TZ', time.gmtime())} {line}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
