"""Parts of the spec that are Kubernetes' own: image, resources, placement, environment. Names follow the core API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ocr_operator.api.environment import RESERVED
from ocr_operator.api.fields import (
    LABELS_MAX,
    NAME_MAX,
    PREFIX,
    QUALIFIED_NAME_MAX,
    ApiModel,
    LabelValue,
    ObjectName,
    Quantity,
    list_map,
    matches,
    rule,
    rules,
)

OWN_LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
)
"""Labels the selector and the watches rely on: a pod with another value is lost to its Deployment."""


class LocalObjectReference(ApiModel):
    """An object in the namespace of the OcrService."""

    name: ObjectName
    """Name of the object, in the namespace of the OcrService."""


class ImageSpec(ApiModel):
    """The image of the server."""

    repository: (
        Annotated[
            str,
            Field(
                max_length=255,
                json_schema_extra=matches(
                    r"^([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/)?"
                    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$",
                    "image.repository must be a repository alone, such as registry.example.org/ocr/server; "
                    "give the tag in image.tag and the digest in image.digest",
                ),
            ),
        ]
        | None
    ) = None
    """Repository without tag and digest. Default: the one of the image the operator was installed with for this model."""
    tag: (
        Annotated[
            str,
            Field(
                max_length=128,
                json_schema_extra=matches(
                    r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
                    "image.tag must be letters, digits, '_', '.' and '-', such as 1.4.0",
                ),
            ),
        ]
        | None
    ) = None
    """Tag. Default: the one of the image the operator was installed with, as long as repository is not set."""
    digest: (
        Annotated[
            str,
            Field(
                max_length=71,
                json_schema_extra=matches(
                    r"^sha256:[0-9a-f]{64}$",
                    "image.digest must be sha256: and 64 hexadecimal digits, as the registry shows it",
                ),
            ),
        ]
        | None
    ) = None
    """Digest, `sha256:` and 64 hexadecimal digits. It is what is pulled when both a tag and a digest are set."""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the kubelet pulls the image. Default: the installation's, IfNotPresent unless it was changed."""


ResourceList = Annotated[Mapping[str, Quantity], Field(max_length=LABELS_MAX)]


class ResourceRequirements(ApiModel):
    """CPU and memory of the server's container."""

    requests: ResourceList | None = None
    """What the scheduler reserves, by resource. Default: the catalogue's (pp-ocr 250m/768Mi, tesseract 250m/256Mi, paddleocr-vl 4/16Gi)."""
    limits: ResourceList | None = None
    """The most the container may use, by resource. Default: the catalogue's for the model."""


class GpuSpec(ApiModel):
    """Accelerators of the server's container."""

    count: Annotated[int, Field(ge=0, le=64, json_schema_extra={"format": "int32"})] | None = None
    """How many accelerators one pod gets; 0 runs on CPU. Default: the catalogue's (paddleocr-vl 1, the others 0)."""
    resource_name: (
        Annotated[
            str,
            Field(
                max_length=QUALIFIED_NAME_MAX,
                json_schema_extra=matches(
                    r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
                    "gpu.resourceName must be an extended resource as nodes report it, such as nvidia.com/gpu",
                ),
            ),
        ]
        | None
    ) = None
    """Extended resource that the device plugin offers. Default: nvidia.com/gpu."""


class Toleration(ApiModel):
    """A core Toleration."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.operator) && self.operator == 'Exists' && has(self.value) && self.value != '')",
                "tolerations: value must be left out when operator is Exists, which matches any value",
            ),
            rule(
                "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
                "tolerations: key may only be left out when operator is Exists; set key, or operator: Exists",
            ),
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerations: tolerationSeconds only has a meaning with effect: NoExecute; set it or remove the seconds",
            ),
        )
    )

    key: Annotated[str, Field(max_length=QUALIFIED_NAME_MAX)] | None = None
    """Key of the taint; left out with operator Exists it means every taint."""
    operator: Literal["Exists", "Equal"] | None = None
    """How the taint's value is compared. Default: Equal."""
    value: LabelValue | None = None
    """Value of the taint, with operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint; left out it means all effects."""
    toleration_seconds: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """Seconds a pod stays after a NoExecute taint appeared; left out it stays for ever."""


NodeSelector = Annotated[Mapping[str, LabelValue], Field(max_length=LABELS_MAX)]


class KeySelector(ApiModel):
    """One key of a Secret or ConfigMap."""

    name: ObjectName
    """Name of the object, in the namespace of the OcrService."""
    key: Annotated[
        str,
        Field(
            max_length=253,
            json_schema_extra=matches(
                r"^[-._a-zA-Z0-9]+$",
                "key must be letters, digits, '-', '_' and '.', as in the object's data",
            ),
        ),
    ]
    """Key in the object's data."""
    optional: bool | None = None
    """Whether the pod starts when the object or key is missing. Default: false, the pod waits for it."""


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
                ".filter(given, given).size() == 1",
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


def _reserved_rule() -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in RESERVED)
    return rule(
        f"!(self.name in [{names}])",
        "podTemplate.env: the operator sets this name itself; use the field of the spec it is made from, "
        "such as model, auth, s3 or limits",
        ".name",
    )


class EnvVar(ApiModel):
    """One variable of the server's container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _reserved_rule(),
            rule(
                "!(has(self.value) && has(self.valueFrom))",
                "podTemplate.env: value and valueFrom exclude each other; remove one of them",
            ),
        )
    )

    name: Annotated[
        str,
        Field(
            max_length=253,
            json_schema_extra=matches(
                r"^[-._a-zA-Z][-._a-zA-Z0-9]*$",
                "podTemplate.env: name must be letters, digits, '_', '-' and '.', and not begin with a digit",
            ),
        ),
    ]
    """Name of the variable; names the operator sets itself are refused."""
    value: Annotated[str, Field(max_length=32768)] | None = None
    """The value. Default: empty."""
    value_from: EnvVarSource | None = None
    """Where the value comes from, instead of `value`."""


def _not_ours(field: str) -> dict[str, str]:
    return rule(
        f"self.all(key, !key.startsWith('{PREFIX}'))",
        f"{field}: keys that begin with {PREFIX} are the operator's; choose another prefix",
    )


def _own_labels_rule() -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in OWN_LABELS)
    return rule(
        f"![{names}].exists(own, own in self)",
        "podTemplate.labels: app.kubernetes.io/name, instance and managed-by are the operator's, "
        "which finds its pods by them; choose another key",
    )


def annotations_of(field: str) -> dict[str, object]:
    """`json_schema_extra` of a map of annotations."""
    return rules(_not_ours(field))


class PodTemplateSpec(ApiModel):
    """What is added to the pods."""

    labels: (
        Annotated[
            Mapping[str, LabelValue],
            Field(
                max_length=LABELS_MAX,
                json_schema_extra=rules(_not_ours("podTemplate.labels"), _own_labels_rule()),
            ),
        ]
        | None
    ) = None
    """Labels added to the pods; the operator's own keys are refused."""
    annotations: (
        Annotated[
            Mapping[str, str],
            Field(
                max_length=LABELS_MAX, json_schema_extra=annotations_of("podTemplate.annotations")
            ),
        ]
        | None
    ) = None
    """Annotations added to the pods; the operator's own keys are refused."""
    env: (
        Annotated[tuple[EnvVar, ...], Field(max_length=64, json_schema_extra=list_map("name"))]
        | None
    ) = None
    """Variables added to the server's container, each name once."""
    service_account_name: (
        Annotated[
            str,
            Field(
                max_length=NAME_MAX,
                json_schema_extra=matches(
                    r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$",
                    "podTemplate.serviceAccountName must be the name of a ServiceAccount in this namespace",
                ),
            ),
        ]
        | None
    ) = None
    """ServiceAccount of the pods; its token is not mounted. Default: the namespace's `default`."""
