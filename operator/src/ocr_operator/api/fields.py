"""What every API model is built from: the base class, schema rules, numbers and times.

Patterns and rules are in the schema only. The API server refuses a wrong value with their sentence;
parsing stays tolerant, so that an object stored under older rules can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

MAP_MAX = 32
"""Entries of a map: CEL walks maps, and the API server estimates its cost from the most entries."""
QUANTITY_MAX = 32
"""Longest quantity in characters."""
SECONDS_DECIMALS = 3
"""A start is never measured better than a millisecond."""
PHASES_MAX = 32
"""Phases of one start; there are five."""

INT32: dict[str, Any] = {"format": "int32"}
INT64: dict[str, Any] = {"format": "int64"}


class ApiModel(BaseModel):
    """Frozen, camelCase on the wire, snake_case in Python; unknown fields are ignored."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )

    def wire(self) -> dict[str, Any]:
        """The object as the API shows it: camelCase, JSON types, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rule(expression: str, message: str, field_path: str = "") -> dict[str, str]:
    """One entry of `x-kubernetes-validations`; the path is relative, for a rule of an object."""
    entry = {"rule": expression, "message": message}
    return entry | {"fieldPath": field_path} if field_path else entry


def rules(*entries: dict[str, str], **keywords: Any) -> dict[str, Any]:
    """`json_schema_extra` with validation rules and other schema keywords."""
    return {"x-kubernetes-validations": list(entries), **keywords}


def list_map(*keys: str) -> dict[str, Any]:
    """`json_schema_extra` of a list whose entries are told apart by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _int_or_string(*entries: dict[str, str]) -> WithJsonSchema:
    return WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "maxLength": QUANTITY_MAX, **rules(*entries)}
    )


Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    _int_or_string(
        rule(
            "type(self) == int ? self >= 0 "
            ": (isQuantity(self) && !quantity(self).isLessThan(quantity('0')))",
            "must be a quantity that is not negative, such as 500m, 4 or 16Gi",
        )
    ),
]
"""A whole number or a string such as `16Gi`; always a string in Python."""
UploadBytes = Annotated[
    str,
    BeforeValidator(_as_text),
    _int_or_string(
        rule(
            "type(self) == int ? self >= 1 : (isQuantity(self) && quantity(self).isInteger() "
            "&& quantity(self).isGreaterThan(quantity('0')))",
            "must be a number of bytes above 0, such as 50Mi or 52428800",
        ),
        rule(
            "type(self) == int ? self <= 1073741824 "
            ": !(isQuantity(self) && quantity(self).isGreaterThan(quantity('1Gi')))",
            "must be at most 1Gi: uploads wait in the pod's /tmp, which has room for 4Gi",
        ),
    ),
]
"""A quantity of whole bytes; always a string in Python."""

Count = Annotated[int, Field(ge=0, json_schema_extra=INT32)]
"""A whole number, zero allowed."""
Positive = Annotated[int, Field(ge=1, json_schema_extra=INT32)]
"""A whole number of at least one."""
Generation = Annotated[int, Field(ge=0, json_schema_extra=INT64)]
"""Generation of an object's spec."""

Seconds = Annotated[
    float,
    Field(ge=0),
    PlainSerializer(lambda value: round(value, SECONDS_DECIMALS), return_type=float),
]
"""Seconds as a JSON number with at most three decimals."""
Phases = Annotated[Mapping[str, Seconds], Field(max_length=PHASES_MAX)]
"""Seconds by the name of the phase."""
Time = datetime
"""A moment, RFC 3339 on the wire."""
