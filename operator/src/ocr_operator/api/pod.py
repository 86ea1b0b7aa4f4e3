"""Parts of the spec that are Kubernetes' own, named as in the core API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ocr_operator.api.environment import RESERVED
from ocr_operator.api.fields import (
    INT32,
    INT64,
    MAP_MAX,
    ApiModel,
    Quantity,
    list_map,
    rule,
    rules,
)
from ocr_operator.api.text import (
    KEY_MAX,
    AnnotationValue,
    DataKey,
    Digest,
    LabelValue,
    ObjectName,
    OptionalObjectName,
    Repository,
    ResourceName,
    Tag,
    VariableName,
    not_ours,
    qualified_keys,
)

OWN_LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
)
"""The operator sets them; the selector and the watches rely on the first three."""
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""`kubectl rollout restart` sets it; a value in the spec would undo every restart."""
VALUE_MAX = 32768
"""Longest value of a variable."""


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


class LocalObjectReference(ApiModel):
    """An object in the namespace of the OcrService."""

    name: ObjectName
    """Name of the object, in the namespace of the OcrService."""


class ImageSpec(ApiModel):
    """The image of the server."""

    repository: Repository | None = None
    """Repository without tag and digest. Default: that of the image the operator was installed
    with for this model."""
    tag: Tag | None = None
    """Tag. Default: that of the image the operator was installed with, so that a mirror needs
    its repository alone."""
    digest: Digest | None = None
    """Digest, `sha256:` and 64 hexadecimal digits. It decides what is pulled when a tag is set
    too."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the kubelet pulls the image. Default: the installation's, which is IfNotPresent unless
    it was changed."""


ResourceList = Annotated[
    Mapping[str, Quantity],
    Field(max_length=MAP_MAX, json_schema_extra=rules(qualified_keys("resources"))),
]

_WITHIN_LIMITS = rule(
    "!has(self.requests) || !has(self.limits) || self.requests.all(name, "
    "!(name in self.limits) || !isQuantity(string(self.requests[name])) "
    "|| !isQuantity(string(self.limits[name])) "
    "|| !quantity(string(self.requests[name]))"
    ".isGreaterThan(quantity(string(self.limits[name]))))",
    "resources.requests must not be more than resources.limits of the same resource; "
    "raise the limit or lower the request",
    ".requests",
)


class ResourceRequirements(ApiModel):
    """CPU and memory of the server's container."""

    model_config = ConfigDict(json_schema_extra=rules(_WITHIN_LIMITS))

    requests: ResourceList | None = None
    """What the scheduler reserves, by resource. Default: the catalogue's (pp-ocr 250m/768Mi,
    tesseract 250m/256Mi, paddleocr-vl 4/16Gi)."""
    limits: ResourceList | None = None
    """The most the container may use, by resource. Default: the catalogue's for the model."""


class GpuSpec(ApiModel):
    """Accelerators of the server's container."""

    count: Annotated[int, Field(ge=0, le=64, json_schema_extra=INT32)] | None = None
    """How many accelerators one pod gets; with 0 it runs on CPU. Default: the catalogue's
    (paddleocr-vl 1, the others 0)."""
    resource_name: ResourceName | None = None
    """Resource that the device plugin offers. Default: nvidia.com/gpu."""


class Toleration(ApiModel):
    """A core Toleration."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.value) || self.value == '' || !has(self.operator) "
                "|| self.operator != 'Exists'",
                "tolerations: value must be left out with operator Exists, which takes any value",
            ),
            rule(
                "(has(self.key) && self.key != '') "
                "|| (has(self.operator) && self.operator == 'Exists')",
                "tolerations: key may be left out only with operator Exists; set one of them",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerations: tolerationSeconds has a meaning only with effect NoExecute; "
                "set the effect or remove the seconds",
            ),
        )
    )

    key: Annotated[str, Field(max_length=KEY_MAX)] | None = None
    """Key of the taint; left out with operator Exists it means every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How the value of the taint is compared. Default: Equal."""
    value: LabelValue | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; left out it means all effects."""
    toleration_seconds: Annotated[int, Field(json_schema_extra=INT64)] | None = None
    """Seconds a pod stays after a NoExecute taint appeared; left out it stays for ever."""


NodeSelector = Annotated[
    Mapping[str, LabelValue],
    Field(max_length=MAP_MAX, json_schema_extra=rules(qualified_keys("nodeSelector"))),
]


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap."""

    name: ObjectName
    """Name of the object, in the namespace of the OcrService."""
    key: DataKey
    """Key in the data of the object."""
    optional: bool | None = None
    """Whether the pod starts without the object or key. Default: false, the pod waits for it."""


class FieldSelector(ApiModel):
    """A field of the pod itself."""

    field_path: Annotated[str, Field(min_length=1, max_length=512)]
    """Path of the field, such as `spec.nodeName` or `metadata.labels['app']`."""
    api_version: Annotated[str, Field(max_length=32)] | None = None
    """Version the path is written in. Default: v1."""


class EnvVarSource(ApiModel):
    """Where a value comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)]"
                ".exists_one(given, given)",
                "valueFrom must have exactly one of secretKeyRef, configMapKeyRef and fieldRef",
            )
        )
    )

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: FieldSelector | None = None
    """A field of the pod."""


class EnvVar(ApiModel):
    """One variable of the server's container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"!(self.name in [{_quoted(RESERVED)}])",
                "podTemplate.env: the operator sets this name itself; use the field of the spec "
                "it is made from, such as model, auth, s3 or limits",
                ".name",
            ),
            rule(
                "!(has(self.value) && has(self.valueFrom))",
                "podTemplate.env: value and valueFrom exclude each other; remove one of them",
            ),
        )
    )

    name: VariableName
    """Name of the variable; names the operator sets itself are refused."""
    value: Annotated[str, Field(max_length=VALUE_MAX)] | None = None
    """The value. Default: empty."""
    value_from: EnvVarSource | None = None
    """Where the value comes from, instead of `value`."""


Labels = Annotated[
    Mapping[str, LabelValue],
    Field(
        max_length=MAP_MAX,
        json_schema_extra=rules(
            qualified_keys("podTemplate.labels"),
            not_ours("podTemplate.labels"),
            rule(
                f"![{_quoted(OWN_LABELS)}].exists(own, own in self)",
                "podTemplate.labels: app.kubernetes.io/name, instance, managed-by, component and "
                "part-of are the operator's; choose another key",
            ),
        ),
    ),
]


PodAnnotations = Annotated[
    Mapping[str, AnnotationValue],
    Field(
        max_length=MAP_MAX,
        json_schema_extra=rules(
            qualified_keys("podTemplate.annotations"),
            not_ours("podTemplate.annotations"),
            rule(
                f"!('{RESTARTED_AT}' in self)",
                f"podTemplate.annotations: {RESTARTED_AT} belongs to kubectl rollout restart, "
                "which a fixed value would undo; use another key to roll the pods",
            ),
        ),
    ),
]


class PodTemplateSpec(ApiModel):
    """What is added to the pods."""

    labels: Labels | None = None
    """Labels added to the pods; the operator's own keys are refused."""
    annotations: PodAnnotations | None = None
    """Annotations added to the pods; the operator's own keys are refused."""
    env: (
        Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=list_map("name"))]
        | None
    ) = None
    """Variables added to the server's container, each name once."""
    service_account_name: OptionalObjectName | None = None
    """ServiceAccount of the pods, whose token is not mounted. Default: `default`."""
