"""Whether the folders can be written. Looked at in a thread: a dead network volume blocks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

_EVERY_S = 30.0


class Folders:
    def __init__(self, paths: Mapping[str, Path | None]) -> None:
        """`paths` by name; None where nothing is written to."""
        self._paths = {name: path for name, path in paths.items() if path is not None}
        self.writable: dict[str, bool | None] = dict.fromkeys(paths)
        """None until the first look, and for ever where there is no path."""

    def watch(self) -> None:
        # A daemon: one that is stuck in a system call must not hold the exit.
        threading.Thread(target=self._look, name="folders", daemon=True).start()

    def _look(self) -> None:
        while True:
            for name, path in self._paths.items():
                self.writable[name] = os.access(path, os.W_OK)
            time.sleep(_EVERY_S)
