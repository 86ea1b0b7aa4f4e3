"""JSON logs: one object a line, what `extra=` carries beside the message."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes every record has; what is beyond them came by `extra`."""

QUIET = {
    # "Handler ... succeeded" for every event of every object, at INFO.
    "kopf.objects": logging.WARNING,
    # The same for logins and the start.
    "kopf.activities": logging.WARNING,
    # A line for each request, health probes included.
    "aiohttp.access": logging.WARNING,
}


class JsonFormatter(logging.Formatter):
    """Keys: `time`, `level`, `logger`, `message`, then the record's extras, then `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str) -> None:
    """Send every logger of the process to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(quiet)
