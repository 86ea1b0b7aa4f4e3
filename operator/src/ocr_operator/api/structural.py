"""A pydantic model as a structural schema, the part of OpenAPI that a CRD may use.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_VALIDATIONS = "x-kubernetes-validations"
_DROPPED = ("title", "default", "additionalProperties", "$defs")
"""Titles repeat the names; a default would be stored; `additionalProperties: false` is not allowed
beside `properties`, the API server prunes instead."""


def structural_schema(model: type[BaseModel]) -> Schema:
    """The schema of `model` without references, nulls, titles and defaults."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    node = _resolved(node, definitions)
    result = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in result:
        result["enum"] = [result.pop("const")]
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in result:
            result[inclusive] = result[exclusive]
            result[exclusive] = True
    if "properties" in node:
        result["properties"] = {
            name: _structural(child, definitions) for name, child in node["properties"].items()
        }
    if "items" in node:
        result["items"] = _undescribed(_structural(node["items"], definitions))
    if isinstance(node.get("additionalProperties"), Mapping):
        result["additionalProperties"] = _undescribed(
            _structural(node["additionalProperties"], definitions)
        )
    return _ordered(result)


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Replace a reference and an optional type by what they stand for; the field's words win."""
    inner: Mapping[str, Any] | None = None
    if "$ref" in node:
        inner = definitions[node["$ref"].rpartition("/")[2]]
    elif "anyOf" in node:
        given = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
        if len(given) != 1:
            raise ValueError(f"a CRD has no union types: {node['anyOf']}")
        inner = given[0]
    if inner is None:
        return dict(node)
    outer = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
    resolved = _resolved(inner, definitions)
    validations = [*resolved.get(_VALIDATIONS, ()), *outer.get(_VALIDATIONS, ())]
    return resolved | outer | ({_VALIDATIONS: validations} if validations else {})


def _undescribed(schema: Schema) -> Schema:
    """Entries of a list or map are described by the field that holds them."""
    return {key: value for key, value in schema.items() if key != "description"}


_FIRST = ("description", "type", "format", "required")
"""What a reader looks for; the rest is sorted, so that the files change only with the models."""


def _ordered(schema: Schema) -> Schema:
    first = [key for key in _FIRST if key in schema]
    rest = sorted(schema.keys() - {*_FIRST, "properties"})
    last = ["properties"] if "properties" in schema else []
    return {key: schema[key] for key in (*first, *rest, *last)}
