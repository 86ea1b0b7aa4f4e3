"""What the jobs' objects are called.

| key | what |
|---|---|
| `jobs/<id>/input`, `job.json`, `result.json` | the document, the record, what was read |
| `jobs-active/<id>` | stands for a job that is not finished: a scan lists nothing else |
| `jobs-active/<id>.cancel` | its owner is to stop it |
| `jobs-expiry/<time>-<id>` | when a finished job is to be removed, in the order of time |
| `jobs-expired/<time>-<id>` | the same for the record that is left of it |
| `jobs-keys/<hash>` | the job of an `Idempotency-Key` |
| `jobs-replicas/<replica>` | a replica's heartbeat |
"""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime

ACTIVE = "jobs-active/"
EXPIRY = "jobs-expiry/"
EXPIRED = "jobs-expired/"
REPLICAS = "jobs-replicas/"
_INPUT = "/input"
_RESULT = "/result.json"


def input_key(job: str) -> str:
    return f"jobs/{job}{_INPUT}"


def record_key(job: str) -> str:
    return f"jobs/{job}/job.json"


def result_key(job: str) -> str:
    return f"jobs/{job}{_RESULT}"


def cancel_key(job: str) -> str:
    return f"{ACTIVE}{job}.cancel"


def parts(job: str) -> tuple[str, ...]:
    """In the order in which they are removed: what the rest is found by comes last."""
    return cancel_key(job), result_key(job), input_key(job), record_key(job), ACTIVE + job


def promise_key(client: str, model: str, key: str) -> str:
    """Hashed: a client's name and what it sends are no names of objects."""
    told = "\0".join((client, model, key))
    return f"jobs-keys/{hashlib.sha256(told.encode()).hexdigest()}"


def timed(prefix: str, job: str, until: datetime) -> str:
    return f"{prefix}{math.ceil(until.timestamp()):011d}-{job}"


def when(key: str) -> tuple[datetime, str]:
    """The time and the job of a `timed` key."""
    seconds, _, job = key.rpartition("/")[2].partition("-")
    return datetime.fromtimestamp(int(seconds), tz=UTC), job


def is_heartbeat(key: str) -> bool:
    """Others' trust in a replica depends on it: nothing may hold it up."""
    return key.startswith(REPLICAS)


def is_large(key: str) -> bool:
    """It grows with the document."""
    return key.endswith((_INPUT, _RESULT))
