"""Bearer keys: one file a client in a directory, as Kubernetes mounts a Secret."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from pathlib import Path

log = logging.getLogger("ocr_inference.auth")

ANONYMOUS = "anonymous"
"""The client when no keys are wanted."""

_SCHEMES = ("bearer", "token")
_CHECK_EVERY_S = 1.0
"""The directory is looked at no more often than this; a rotated key works after as much."""

_Signature = tuple[tuple[str, int, int, int], ...]


class KeyRing:
    """The keys in `directory`, read again when it changes. Names are clients, contents are keys."""

    def __init__(self, directory: Path, wanted: bool) -> None:
        self.wanted = wanted
        self._directory = directory
        self._digests: dict[str, bytes] = {}
        self._signature: _Signature | None = None
        self._checked = float("-inf")
        self._trouble: str | None = None

    @property
    def missing(self) -> bool:
        """Keys are wanted and there are none: nobody can be let in."""
        if not self.wanted:
            return False
        self._refresh()
        return not self._digests

    def client(self, authorization: str | None) -> str | None:
        """Who sent this `Authorization` header; None when nobody we know."""
        if not self.wanted:
            return ANONYMOUS
        self._refresh()
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() not in _SCHEMES:
            return None
        # Headers come decoded as Latin-1, whatever was meant: the bytes of both are compared. And
        # stripped as bytes: the last one of an "à" would pass for a blank.
        digest = _digest(key.encode("latin-1", "replace").strip())
        found = None
        # All are compared, digest to digest: the time tells neither a key's content nor its place.
        for client, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = client
        return found

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._checked < _CHECK_EVERY_S:
            return
        self._checked = now
        try:
            files = sorted(
                path
                for path in self._directory.iterdir()
                # ..data and ..2026_… are how the kubelet swaps a mounted Secret at once.
                if not path.name.startswith(".") and path.is_file()
            )
            signature = tuple(_stamp(path) for path in files)
            if signature == self._signature:
                return
            keys = {path.name: path.read_bytes().strip() for path in files}
        except OSError as error:
            self._cannot_read(error)
            return
        self._digests = {name: _digest(key) for name, key in keys.items() if key}
        self._signature, self._trouble = signature, None
        log.info("keys read", extra={"clients": len(self._digests)})

    def _cannot_read(self, error: OSError) -> None:
        # One file that is being swapped or is broken must not lock everybody out; a folder that
        # is gone was taken away.
        # os.path: Path's raises where a parent cannot be searched.
        if not os.path.isdir(self._directory):  # noqa: PTH112
            self._digests = {}
        self._signature = None  # what was read is not what is there: look again
        if str(error) != self._trouble:  # once, not every second
            self._trouble = str(error)
            log.warning("the keys cannot be read: %s", error.strerror)


def _stamp(path: Path) -> tuple[str, int, int, int]:
    status = path.stat()
    return path.name, status.st_ino, status.st_mtime_ns, status.st_size


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
