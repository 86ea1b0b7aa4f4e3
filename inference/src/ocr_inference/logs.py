"""JSON lines on standard output: no document content, no file names, no keys, no URLs."""

from __future__ import annotations

import contextvars
import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

request_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("request_id", default=None)

_OWN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}


_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Other software chose it: a word, or nothing."""


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (identifier := request_id.get()) is not None:
            line["request_id"] = identifier
        line |= {name: value for name, value in vars(record).items() if name not in _OWN}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def kind(error: BaseException) -> str:
    """An exception's type, with the operating system's reason or the code of an S3 error. Not its
    message: clients of HTTP and S3 put URLs into theirs."""
    name = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    response = getattr(error, "response", None)  # botocore's, which is not imported without S3
    told = response.get("Error") if isinstance(response, dict) else None
    code = str(told.get("Code")) if isinstance(told, dict) else ""
    return f"{name}: {code}" if _CODE.fullmatch(code) else name


def _where(error: BaseException) -> str:
    """What kind of exception and where, and those behind it. Not their messages, which may quote
    the document."""
    behind: tuple[BaseException | None, ...] = (error.__cause__,)
    if isinstance(error, BaseExceptionGroup):
        behind = error.exceptions
    elif error.__cause__ is None and not error.__suppress_context__:
        behind = (error.__context__,)
    told = f"{''.join(traceback.format_tb(error.__traceback__))}{kind(error)}"
    return "\nbecause of\n".join([told, *(_where(one) for one in behind if one is not None)])


def configure(stream: TextIO = sys.stdout) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    # Libraries tell of parameters (botocore), of URLs (HTTP clients), and of every
    # connection (uvicorn).
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ocr_inference").setLevel(logging.INFO)
