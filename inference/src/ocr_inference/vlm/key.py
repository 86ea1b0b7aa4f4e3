"""The key of the VLM server, in a file as Kubernetes mounts a Secret."""

from __future__ import annotations

import logging
import time
from pathlib import Path

log = logging.getLogger("ocr_inference.vlm")

FILE = "api-key"
_CHECK_EVERY_S = 1.0


class KeyFile:
    """Read again when it changes, so that a key is rotated without a restart."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._key: str | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._checked = float("-inf")

    def current(self) -> str | None:
        """None where there is no such file: then no key is sent."""
        now = time.monotonic()
        if now - self._checked >= _CHECK_EVERY_S:
            self._checked = now
            self._refresh()
        return self._key

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            key = self._path.read_text("utf-8").strip()
        except FileNotFoundError:
            self._key, self._stamp = None, None
        except (OSError, UnicodeDecodeError) as error:
            # Being swapped, or broken: the one that was read is the best there is.
            log.warning("the key of the VLM server cannot be read: %s", type(error).__name__)
        else:
            self._key, self._stamp = key or None, stamp
            log.info("key of the VLM server read")
