"""HTTP from inside the test bed's network namespace, where pod and Service addresses are routed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
CLONE_NEWNET = 0x40000000


class NetworkNamespace:
    """Threads that live in the network namespace of `pid`; the process stays outside."""

    def __init__(self, pid: int, threads: int = 16) -> None:
        self._path = Path(f"/proc/{pid}/ns/net")
        self._pool = ThreadPoolExecutor(threads, initializer=self._enter)

    def _enter(self) -> None:
        # os.setns came with Python 3.12; setns(2) moves only the calling thread.
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(descriptor, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns", str(self._path))
        finally:
            os.close(descriptor)

    def submit(self, call: Callable[..., T], *arguments: object) -> Future[T]:
        return self._pool.submit(call, *arguments)

    def run(self, call: Callable[..., T], *arguments: object) -> T:
        return self.submit(call, *arguments).result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
