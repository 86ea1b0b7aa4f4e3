"""The HTTP process's side of a child: start it, talk to it, end it.

A child is started synchronously, before an event loop exists, so that a model loads while the HTTP
libraries are still being imported; `attach` joins it to the loop later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ocr_inference import logs
from ocr_inference.engine import wire
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError

log = logging.getLogger("ocr_inference.host")

EventHandler = Callable[[Message], None]

_MIB = 1024**2


def _kept(mmap_mib: int, trim_mib: int) -> tuple[str, ...]:
    return (
        "glibc.malloc.hugetlb=1",
        f"glibc.malloc.mmap_threshold={mmap_mib * _MIB}",
        f"glibc.malloc.trim_threshold={trim_mib * _MIB}",
    )


TUNABLES = {"engine": _kept(256, 512), "decode": _kept(64, 64)}
"""How a child allocates (glibc's manual, "Memory Allocation Tunables"): in large pages, and what a
page has needed is kept for the next one. By default every tensor and picture is mapped and given
back: 200,000 page faults for a page with pp-ocr, and 4.5 s where it takes 3.6 s with these.
PaddleOCR-VL with tiny models takes a third less, tesseract the same. The peak of pp-ocr is 900 MiB
and not 750; it stays until no page comes (`child.IDLE_S`) or memory is short. A decoder keeps what
an A4 page needs, which costs 30 ms each time otherwise, and not what the largest does."""

_ALIASES = {
    "glibc.malloc.mmap_threshold": "MALLOC_MMAP_THRESHOLD_",
    "glibc.malloc.trim_threshold": "MALLOC_TRIM_THRESHOLD_",
}
"""Variables of glibc that mean the same, and give way to a tunable."""

_TUNABLE_GLIBC = (2, 35)
"""Older ones know no `hugetlb`, and refuse the one threshold but not the other, which is slow."""


_running: dict[int, str] = {}
"""Process ID to role."""


def running_pids() -> set[int]:
    """Children whose end somebody waits for."""
    return set(_running)


def engine_pids() -> set[int]:
    return {pid for pid, role in _running.items() if role == "engine"}


class ChildLost(Exception):
    """The child ended, by itself or killed, before it answered."""


class Child:
    """One running child. Never restarted: whoever needs another one spawns another one."""

    def __init__(self, role: str, config: Mapping[str, Any], threads: int = 1) -> None:
        # The kernel's parent-death signal is tied to the thread that forked, not to the process.
        assert threading.current_thread() is threading.main_thread()  # noqa: S101
        self.role = role
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "ocr_inference.engine.child", role]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=child_environment(os.environ, role, threads),
                # A group of its own: Ctrl-C in a terminal is not for it, and `kill` gets all of it.
                start_new_session=True,
            )
        _running[self.pid] = role
        self._sock = ours
        # A child that has died already is noticed by `attach`, as any other end.
        with contextlib.suppress(OSError):
            wire.send(ours, dict(config))
        self.lost = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._calls: dict[int, asyncio.Future[Message]] = {}
        self._last_call = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    async def attach(self, on_event: EventHandler, on_end: Callable[[], None]) -> None:
        """Join the running loop; events sent before are delivered now.

        `on_end` is called before anybody who waits for an answer learns that there will be none.
        """
        self._sock.setblocking(False)
        reader, self._writer = await asyncio.open_unix_connection(sock=self._sock)
        self._reading = asyncio.create_task(
            self._read(reader, on_event, on_end), name=f"{self.role}-child"
        )

    async def call(self, op: str, **arguments: Any) -> Message:
        """One call and its result. Raises what the child says (`PublicError`) or `ChildLost`."""
        if self._writer is None or self.lost.is_set():
            raise ChildLost(self.role)
        self._last_call += 1
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._calls[self._last_call] = answer
        try:
            about = {"id": self._last_call, "request_id": logs.request_id.get(), "op": op}
            self._writer.write(wire.encode({**about, **arguments}))
            return await answer
        finally:
            self._calls = {n: call for n, call in self._calls.items() if call is not answer}

    def kill(self) -> None:
        """End it and all it started, now. `lost` follows."""
        # Once it was waited for, its number may be another process's.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self) -> None:
        """Kill it and wait until it is gone."""
        self.kill()
        if self._reading is None:
            await self._wait()
            self._sock.close()
        else:
            await self._reading

    async def _read(
        self, reader: asyncio.StreamReader, on_event: EventHandler, on_end: Callable[[], None]
    ) -> None:
        try:
            while (message := await wire.read(reader)) is not None:
                if "id" in message:
                    self._settle(message)
                else:
                    on_event(message)
        except Exception:
            log.exception("the %s child sent what cannot be understood", self.role)
        finally:
            on_end()
            await self._bury()

    async def _wait(self) -> int:
        try:
            return await asyncio.to_thread(self._process.wait)
        finally:
            _running.pop(self.pid, None)

    def _settle(self, message: Message) -> None:
        answer = self._calls.get(message["id"])
        if answer is None or answer.done():
            return
        if (error := message.get("error")) is not None:
            details = error.pop("details")
            answer.set_exception(PublicError(**error, **details))
        else:
            answer.set_result(message["result"])

    async def _bury(self) -> None:
        # Its socket is closed, so it is dead or of no use any more.
        self.kill()
        code = await self._wait()
        log.info("the %s child ended", self.role, extra={"pid": self.pid, "exit_code": code})
        if self._writer is not None:
            self._writer.close()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(ChildLost(self.role))
        self.lost.set()


def child_environment(environment: Mapping[str, str], role: str, threads: int) -> dict[str, str]:
    """Ours without the secrets (a child reads hostile files), with the threads it may use."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("OCR_S3_", "CLOUDRU_S3_"))
    }
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        kept.setdefault(name, str(threads))
    if _glibc() >= _TUNABLE_GLIBC:
        kept["GLIBC_TUNABLES"] = _tunables(TUNABLES[role], kept)
    return kept


def _tunables(wanted: Sequence[str], environment: Mapping[str, str]) -> str:
    """Ours, but for those that a person has set, by either of their names."""
    own = [entry for entry in environment.get("GLIBC_TUNABLES", "").split(":") if entry]
    named = {entry.partition("=")[0] for entry in own}
    named |= {name for name, alias in _ALIASES.items() if alias in environment}
    ours = [entry for entry in wanted if entry.partition("=")[0] not in named]
    return ":".join([*own, *ours])


def _glibc() -> tuple[int, ...]:
    """Its version; empty with another C library."""
    name, version = platform.libc_ver()
    return tuple(map(int, version.split("."))) if name == "glibc" else ()
