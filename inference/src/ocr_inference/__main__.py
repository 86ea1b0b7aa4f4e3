"""The program: SIGTERM is handled before anything is imported that takes time.

As PID 1 a process without a handler is deaf to SIGTERM, and a pod that is deleted while it starts
would wait for its whole grace period.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

EXIT_TERMINATED = 143
"""SIGTERM before ready: nothing was promised, nothing is drained."""


def main() -> None:
    signal.signal(signal.SIGTERM, _exit_now)

    from ocr_inference.cli import app

    app()


def _exit_now(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_TERMINATED)


if __name__ == "__main__":
    main()
