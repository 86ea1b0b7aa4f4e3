"""What every API model is built from: the base class, schema rules and the scalar types with their limits.

Patterns and rules are in the schema only. The API server refuses a wrong value with their sentence;
parsing stays tolerant, so that an object stored under older rules can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic import WithJsonSchema as JsonSchema
from pydantic.alias_generators import to_camel

PREFIX = "ocr-operator.dev/"
"""Labels and annotations that begin so are the operator's."""

NAME_MAX = 253
"""Longest name of a Kubernetes object."""
QUALIFIED_NAME_MAX = 316
"""Longest label or annotation key: 253 of the prefix, a slash, 62 or 63 of the name."""
LABELS_MAX = 32
"""Entries of a label or annotation map: CEL walks them, and its cost is estimated from the most there can be."""
SECONDS_DECIMALS = 3
"""A start is never measured better than a millisecond."""


class ApiModel(BaseModel):
    """Frozen, camelCase on the wire, snake_case in Python; fields of a newer version are ignored."""

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
    """One entry of `x-kubernetes-validations`."""
    entry = {"rule": expression, "message": message}
    if field_path:
        entry["fieldPath"] = field_path
    return entry


def rules(*entries: dict[str, str], **keywords: object) -> dict[str, Any]:
    """`json_schema_extra` with validation rules and other schema keywords."""
    return {"x-kubernetes-validations": list(entries), **keywords}


def matches(pattern: str, message: str) -> dict[str, Any]:
    """`json_schema_extra` of a string: the pattern as a rule, because a rule can say what to do."""
    return rules(rule(f"self.matches(r'{pattern}')", message))


def list_map(*keys: str) -> dict[str, Any]:
    """`json_schema_extra` of a list whose entries are told apart by these fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


QUANTITY_MAX = 32
"""Longest quantity in characters."""

Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    JsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": QUANTITY_MAX,
            **rules(
                rule(
                    "type(self) == int ? self >= 0 : (isQuantity(self) && quantity(self).sign() >= 0)",
                    "must be a quantity that is not negative, such as 500m, 4 or 16Gi",
                )
            ),
        }
    ),
]
"""A whole number or a string such as `16Gi`; always a string in Python."""

_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_VALUE = "([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?"

ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_MAX,
        json_schema_extra=matches(
            rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$",
            "must be the name of an object in this namespace: lower case letters, digits, '-' and '.'",
        ),
    ),
]
"""Name of a Secret, a claim, a ConfigMap."""

LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=matches(
            f"^{_LABEL_VALUE}$",
            "must be a label value: at most 63 letters, digits, '-', '_' and '.', "
            "a letter or digit first and last",
        ),
    ),
]

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]
"""A whole number, zero allowed."""
Positive = Annotated[int, Field(ge=1, json_schema_extra={"format": "int32"})]
"""A whole number of at least one."""
Large = Annotated[int, Field(ge=1, json_schema_extra={"format": "int64"})]
"""A whole number of at least one that may not fit into 32 bits."""

Seconds = Annotated[
    float, Field(ge=0), AfterValidator(lambda value: round(value, SECONDS_DECIMALS))
]
"""Seconds as a JSON number with at most three decimals."""

Phases = Annotated[Mapping[str, Seconds], Field(max_length=32)]
"""Seconds by the name of the phase."""

Time = datetime
"""A moment, RFC 3339 on the wire."""
