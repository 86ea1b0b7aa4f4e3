"""Strings of the API, each with its pattern and a sentence that says what is expected."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ocr_operator.api.fields import rule, rules

PREFIX = "ocr-operator.dev/"
"""Labels and annotations that begin so are the operator's."""
NAME_MAX = 253
"""Longest name of a Kubernetes object."""
KEY_MAX = 316
"""Longest label or annotation key, and longest resource name."""
ANNOTATION_MAX = 65536
"""Longest annotation in characters; Kubernetes allows 256 KiB for all of an object."""


def text(pattern: str, message: str, longest: int) -> Any:
    """A string's pattern as a rule: unlike a `pattern`, a rule can say what to do."""
    return Field(
        max_length=longest,
        json_schema_extra=rules(rule(f"self.matches(r'{pattern}')", message)),
    )


_DNS_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
_PATH = r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"

ObjectName = Annotated[
    str,
    text(
        f"^{_DNS_NAME}$",
        "must be the name of an object in this namespace: lower case letters, digits, '-' and '.'",
        NAME_MAX,
    ),
]
OptionalObjectName = Annotated[
    str,
    text(
        f"^({_DNS_NAME})?$",
        "must be the name of an object in this namespace, or empty for the default",
        NAME_MAX,
    ),
]
LabelValue = Annotated[
    str,
    text(
        f"^({_WORD})?$",
        "must be a label's value: at most 63 letters, digits, '-', '_' and '.', "
        "with a letter or digit first and last",
        63,
    ),
]
AnnotationValue = Annotated[str, Field(max_length=ANNOTATION_MAX)]
DataKey = Annotated[
    str,
    text(
        r"^[-._a-zA-Z0-9]+$",
        "key must be letters, digits, '-', '_' and '.', as in the data of the object",
        NAME_MAX,
    ),
]
VariableName = Annotated[
    str,
    text(
        r"^[-._a-zA-Z][-._a-zA-Z0-9]*$",
        "podTemplate.env: name must be letters, digits, '_', '-' and '.', with no digit first",
        NAME_MAX,
    ),
]
ResourceName = Annotated[
    str,
    text(
        f"^{_DNS_NAME}/{_WORD}$",
        "gpu.resourceName must be a resource as nodes report it, such as nvidia.com/gpu",
        KEY_MAX,
    ),
]

ModelName = Annotated[
    str,
    text(
        r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "model.name must be a name of the catalogue, such as pp-ocr, tesseract or paddleocr-vl: "
        "lower case letters, digits, '-' and '.'",
        63,
    ),
]
ModelVersion = Annotated[
    str,
    text(
        r"^[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9])?$",
        "model.version must be letters, digits, '.', '_', '+' and '-', such as 1.6 in quotes",
        32,
    ),
]
Language = Annotated[
    str,
    text(
        r"^[a-z]{2}$",
        "model.languages must be ISO 639-1 codes, two lower case letters, such as en or ru",
        8,
    ),
]

Repository = Annotated[
    str,
    text(
        rf"^([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{{1,5}})?/)?{_PATH}$",
        "image.repository must be a repository alone, such as registry.example.org/ocr/server: "
        "the tag belongs in image.tag, the digest in image.digest",
        255,
    ),
]
Tag = Annotated[
    str,
    text(
        r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        "image.tag must be letters, digits, '_', '.' and '-', such as 1.4.0",
        128,
    ),
]
Digest = Annotated[
    str,
    text(
        r"^sha256:[0-9a-f]{64}$",
        "image.digest must be sha256: and 64 hexadecimal digits, as the registry shows it",
        128,
    ),
]

_HOST = r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"

Endpoint = Annotated[
    str,
    text(
        rf"^https?://{_HOST}(/[^ ?#]*)?$",
        "s3.endpoint must be a URL that begins with http:// or https://, "
        "without user, query and fragment",
        512,
    ),
]
Bucket = Annotated[
    str,
    text(
        rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$",
        "s3.bucket must be the name of a bucket: 3 to 63 lower case letters, digits, '-' and '.', "
        "with a letter or digit first and last",
        63,
    ),
    Field(min_length=3),
]
KeyPrefix = Annotated[
    str,
    text(
        r"^([^/[:cntrl:]][^[:cntrl:]]*)?$",
        "s3.prefix must not begin with '/' nor have control characters, such as invoices/",
        512,
    ),
]
Region = Annotated[
    str,
    text(
        r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$",
        "s3.region must be letters, digits and '-', such as eu-central-1 or auto",
        64,
    ),
]
Probability = Annotated[
    str,
    Field(
        max_length=16,
        json_schema_extra=rules(
            rule(
                r"self.matches(r'^0?\.[0-9]+$') && double(self) > 0.0 && double(self) < 0.5",
                "probes.falseKillProbability must be a decimal number in quotes, "
                "above 0 and below 0.5, such as 0.001",
            )
        ),
    ),
]


def qualified_keys(field: str) -> dict[str, str]:
    """The rule of a map whose keys are names of labels, annotations or resources."""
    return rule(
        f"self.all(key, key.size() <= {KEY_MAX} && key.matches(r'^({_DNS_NAME}/)?{_WORD}$'))",
        f"{field}: keys must be a name of letters, digits, '-', '_' and '.', "
        "with or without a prefix, such as example.org/name",
    )


def not_ours(field: str) -> dict[str, str]:
    """The rule of a map whose keys must leave the operator's prefix alone."""
    return rule(
        f"self.all(key, !key.startsWith('{PREFIX}'))",
        f"{field}: keys that begin with {PREFIX} are the operator's; choose another prefix",
    )
