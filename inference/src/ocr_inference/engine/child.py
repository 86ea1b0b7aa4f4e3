"""A child process of the server: one role, one call at a time, all of it in the main thread.

The main thread and not a worker: paddle imported in a thread that later ends breaks every call
after it. Signals are the parent's business; a child ends when its socket or its parent does.
Run as `python -m ocr_inference.engine.child ROLE FD PARENT`.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from ocr_inference import logs
from ocr_inference.engine import wire
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError

log = logging.getLogger("ocr_inference.child")

Emit = Callable[[Message], None]
Handler = Callable[[Message], Any]
"""From a call's arguments to its result: a dataclass or what JSON has."""

Handlers = Mapping[str, Handler]

ROLES = {
    "engine": "ocr_inference.engine.engine_role",
    "decode": "ocr_inference.engine.decode_role",
}
NICE = 5
"""The HTTP process comes first: a probe must be answered while every core is busy reading."""

IDLE_S = 10.0
"""A child that had no call for so long gives its free memory back to the system."""

_PR_SET_PDEATHSIG = 1


class RoleFailed(Exception):
    """The role cannot start; it has said why, the child ends."""


class Role(Protocol):
    """What a role's module offers."""

    def start(self, config: Message, emit: Emit) -> Handlers:
        """Prepare and return the calls it answers. `emit` sends an event to the parent."""
        ...


def main() -> None:
    role, fd, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    _belong_to(parent)
    logs.configure(sys.stderr)
    sock = socket.socket(fileno=fd)
    # Not for grandchildren: one that lives on would hide the end of this child from the parent.
    sock.set_inheritable(False)
    config = wire.receive(sock)
    if config is None:
        return
    module = cast("Role", importlib.import_module(ROLES[role]))
    try:
        handlers = module.start(config, lambda event: wire.send(sock, event))
    except RoleFailed:
        sys.exit(1)
    _take_signals()  # again: paddle's C++ takes SIGTERM when it is imported
    while (call := _next_call(sock)) is not None:
        sock.sendall(answer(handlers, call))


def _next_call(sock: socket.socket) -> Message | None:
    """None when the parent is gone. Where none comes, what was kept for it is given back."""
    waiting = select.poll()  # `select` knows no descriptor above 1023, and the parent may have them
    waiting.register(sock, select.POLLIN)
    if not waiting.poll(IDLE_S * 1000):
        trim()
    return wire.receive(sock)


def trim() -> None:
    """Give free memory back to the system, where the C library is one that keeps it: glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def answer(handlers: Handlers, call: Message) -> bytes:
    """The reply to one call as it is sent.

    Never raises: an unknown failure costs this call, not the child.
    """
    logs.request_id.set(call.get("request_id"))
    try:
        result = handlers[call["op"]](call)
        return wire.encode({"id": call["id"], "result": result})
    except Exception as error:
        return wire.encode({"id": call["id"], "error": _as_error(error)})


def _as_error(error: Exception) -> Message:
    if not isinstance(error, PublicError):
        # Where, and not what: the message of an exception may quote the document.
        trace = "".join(traceback.format_tb(error.__traceback__))
        log.error("call failed: %s", type(error).__name__, extra={"trace": trace})
        error = PublicError(502, "engine_error", "The page failed by an internal error.")
    return {
        "status": error.status,
        "code": error.code,
        "message": error.message,
        "details": error.details,
    }


def _belong_to(parent: int) -> None:
    _take_signals()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before prctl could tell us
        os._exit(1)
    os.nice(NICE)
    # Standard output carries the server's JSON log; a library's prints go where stderr goes.
    os.dup2(2, 1)


def _take_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    # By its name: roles raise the errors of that module, and `__main__` has others.
    from ocr_inference.engine import child

    child.main()
