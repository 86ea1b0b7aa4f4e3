"""The status as it was written last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ocr_operator.api.v1alpha1 import Condition, OcrServiceStatus


def read_status(status: Mapping[str, Any]) -> OcrServiceStatus:
    """Read it; one that does not parse is as good as none."""
    try:
        return OcrServiceStatus.model_validate(status)
    except ValidationError:
        return OcrServiceStatus()


def written_condition(status: OcrServiceStatus, condition: str) -> Condition | None:
    """The condition of this type."""
    return next((entry for entry in status.conditions or () if entry.type == condition), None)
