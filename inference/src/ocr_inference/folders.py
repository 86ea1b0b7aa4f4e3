"""Whether the folders can be written. Looked at in a thread: a dead network volume blocks."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_EVERY_S = 30.0


class Folders:
    def __init__(self, output_dir: Path, temp_dir: Path) -> None:
        self.paths = {"temp_dir": temp_dir, "output_dir": output_dir}
        self.writable: dict[str, bool | None] = dict.fromkeys(self.paths)
        """None until the first look."""

    def watch(self) -> None:
        # A daemon: one that is stuck in a system call must not hold the exit.
        threading.Thread(target=self._look, name="folders", daemon=True).start()

    def _look(self) -> None:
        while True:
            for name, path in self.paths.items():
                self.writable[name] = os.access(path, os.W_OK)
            time.sleep(_EVERY_S)
