"""What a condition says, and how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ocr_operator.api.v1alpha1 import Condition, OcrServiceStatus
from ocr_operator.core import reasons
from ocr_operator.core.written import written_condition

MESSAGE_LIMIT = 32768
"""Characters of a condition's message, by the convention of the API and our schema."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a condition says; the time is added when it is written."""

    status: bool
    reason: str
    message: str


def dated(
    verdicts: dict[str, Verdict], written: OcrServiceStatus, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """As they are written: the time is that of the last change of `status`."""
    found = []
    for kind in reasons.CONDITIONS:
        verdict, known = verdicts[kind], written_condition(written, kind)
        same = known is not None and known.status == str(verdict.status)
        found.append(
            Condition(
                type=kind,
                status="True" if verdict.status else "False",
                reason=verdict.reason,
                message=bounded(verdict.message),
                last_transition_time=(
                    known.last_transition_time if known and same else now.replace(microsecond=0)
                ),
                observed_generation=generation,
            )
        )
    return tuple(found)


def bounded(message: str) -> str:
    """The schema's limit holds whatever a server warns of."""
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
