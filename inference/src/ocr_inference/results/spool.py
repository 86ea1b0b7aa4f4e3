"""Where answers are written: a few at a time, and large ones to the disk.

An answer is as large as its document was, and in memory until its client has taken it: a client
that takes none would cost the server its memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from ocr_inference.errors import writing
from ocr_inference.workspace import Workspace

IN_MEMORY_BYTES = 64 * 1024
"""As much of any answer is in a connection's buffer while it is sent."""

_WRITERS = 2
"""They share one interpreter: more would be no faster, and hold more at a time."""


class Spool:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._writers = ThreadPoolExecutor(_WRITERS, "answer")

    async def write(self, parts: Callable[[], Iterable[str]]) -> bytes | BinaryIO:
        """The parts, made in a thread, in UTF-8. A large answer is a file that has no name and is
        gone when it is closed.

        Raises `PublicError` 503 storage_full.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writers, self._write, parts)

    def _write(self, parts: Callable[[], Iterable[str]]) -> bytes | BinaryIO:
        with writing():
            file = SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(self._workspace.path))  # noqa: SIM115
            try:
                for part in parts():
                    file.write(part.encode())
                size = file.tell()
                file.seek(0)
                if size <= IN_MEMORY_BYTES:
                    return file.read()
            except BaseException:
                file.close()
                raise
            return cast("BinaryIO", file)
