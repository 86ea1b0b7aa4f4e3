"""`ocr-operator.dev/v1alpha1`: the models, the only source of the CRDs.

An optional field is None when it is not set. Defaults are the catalogue's and the builders'; the
descriptions name them, the schema does not have them: a default in the schema appears in stored
objects with an upgrade and would look like an edit of the pod template.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ocr_operator.api.environment import ALLOWED, RESERVED
from ocr_operator.api.fields import (
    INT32,
    INT64,
    MAP_MAX,
    ApiModel,
    Count,
    Positive,
    UploadBytes,
    list_map,
    rule,
    rules,
)
from ocr_operator.api.pod import (
    EnvVar,
    EnvVarSource,
    FieldSelector,
    GpuSpec,
    ImageSpec,
    KeySelector,
    LocalObjectReference,
    NodeSelector,
    PodTemplateSpec,
    ResourceRequirements,
    Toleration,
)
from ocr_operator.api.probes import LivenessProbe, ProbesSpec, ReadinessProbe, StartupProbe
from ocr_operator.api.profile import (
    OcrStartupProfile,
    ProfileData,
    ProfileSpec,
    StartKeySpec,
    StartKeyStatus,
    StartPrior,
    StartSample,
)
from ocr_operator.api.status import (
    AppliedProbe,
    Condition,
    OcrServiceStatus,
    ProbeNumbers,
    StartupStatus,
)
from ocr_operator.api.storage import ClaimReference, S3Spec, VolumeSpec
from ocr_operator.api.text import (
    PREFIX,
    AnnotationValue,
    Language,
    ModelName,
    ModelVersion,
    not_ours,
    qualified_keys,
)

GROUP = "ocr-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class ModelSpec(ApiModel):
    """Which model reads the pages."""

    name: ModelName
    """Name in the operator's catalogue: paddleocr-vl, pp-ocr, tesseract, or one that the
    installation added."""
    version: ModelVersion | None = None
    """Version of the model, in quotes. Default: the catalogue's newest."""
    backend: Literal["native"] | None = None
    """Where the model runs; native is the server's own process. Default: native."""
    languages: (
        Annotated[
            tuple[Language, ...],
            Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Languages to read, ISO 639-1 codes, each once. Default: the engine's own."""


ServiceAnnotations = Annotated[
    Mapping[str, AnnotationValue],
    Field(
        max_length=MAP_MAX,
        json_schema_extra=rules(
            qualified_keys("service.annotations"), not_ours("service.annotations")
        ),
    ),
]


class ServiceSpec(ApiModel):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] | None = None
    """Type of the Service; NodePort and LoadBalancer need `auth`. Default: ClusterIP."""
    port: Annotated[int, Field(ge=1, le=65535, json_schema_extra=INT32)] | None = None
    """Port of the Service. Default: 8081."""
    annotations: ServiceAnnotations | None = None
    """Annotations of the Service, for a load balancer for example."""


class AuthSpec(ApiModel):
    """Who may use the service."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.tokenSecretRef) != has(self.mode)",
                "auth must have exactly one of tokenSecretRef, a Secret with one key per client, "
                "and mode: None, which lets everybody in",
            )
        )
    )

    token_secret_ref: LocalObjectReference | None = None
    """Secret whose entries are the clients: the key names the client, the value is its Bearer key.
    Missing or empty, it lets nobody in."""
    mode: Literal["None"] | None = None
    """None says that the service is meant to be open to everybody who reaches it."""


class LimitsSpec(ApiModel):
    """What the server accepts."""

    max_upload_bytes: UploadBytes | None = None
    """The largest request body, a quantity of bytes such as 50Mi, at most 1Gi: uploads wait in the
    pod's /tmp, which has room for 4Gi. Default: 50Mi."""
    max_pages_sync: Positive | None = None
    """The most pages of one synchronous request. Default: 100."""
    max_pages_async: Positive | None = None
    """The most pages of one job. Default: 2000."""
    max_pixels: Annotated[int, Field(ge=1, json_schema_extra=INT64)] | None = None
    """The most pixels of one page, checked before it is decoded. Default: 40000000."""
    queue_max_pages: Positive | None = None
    """The most pages that wait or run in one pod; beyond it requests get 503 with Retry-After.
    Default: 512."""


_OPEN = rule(
    "!has(self.service) || !has(self.service.type) || self.service.type == 'ClusterIP' "
    "|| has(self.auth)",
    "service.type NodePort and LoadBalancer reach beyond the cluster: set auth.tokenSecretRef, "
    "or auth.mode: None if it is meant to be open",
    ".service.type",
)
_GPU_NAME = (
    "(has(self.gpu) && has(self.gpu.resourceName) ? self.gpu.resourceName : 'nvidia.com/gpu')"
)
_GPU_TWICE = [
    rule(
        f"!has(self.resources) || !has(self.resources.{part}) "
        f"|| !({_GPU_NAME} in self.resources.{part})",
        f"resources.{part} must not name the GPU: set gpu.count and gpu.resourceName instead",
        f".resources.{part}",
    )
    for part in ("requests", "limits")
]


class OcrServiceSpec(ApiModel):
    """What a person asks for."""

    model_config = ConfigDict(json_schema_extra=rules(_OPEN, *_GPU_TWICE))

    model: ModelSpec
    """Which model reads the pages; the only part that is required."""
    image: ImageSpec | None = None
    """Image of the server. Default: the one the operator was installed with for this model."""
    image_pull_secrets: (
        Annotated[
            tuple[LocalObjectReference, ...],
            Field(max_length=16, json_schema_extra=list_map("name")),
        ]
        | None
    ) = None
    """Secrets for the registry of the image."""
    replicas: Count | None = None
    """How many pods serve. Default: 1."""
    resources: ResourceRequirements | None = None
    """CPU and memory of the server's container. Default: the catalogue's for the model, resource by
    resource."""
    gpu: GpuSpec | None = None
    """Accelerators of the server's container. Default: the catalogue's for the model."""
    node_selector: NodeSelector | None = None
    """Labels a node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] | None = None
    """Taints of nodes that do not keep the pods away."""
    service: ServiceSpec | None = None
    """The Service in front of the pods. Default: a ClusterIP Service on port 8081."""
    auth: AuthSpec | None = None
    """Who may use the service. Default: everybody who reaches it, which only a ClusterIP Service
    may allow."""
    s3: S3Spec | None = None
    """Bucket for results. Default: none. Without it and `output` a result is in its answer
    alone."""
    output: VolumeSpec | None = None
    """Volume that results are kept on where there is no `s3`, mounted at /app/output. Default:
    none."""
    cache: VolumeSpec | None = None
    """Where weights and caches are kept, mounted at /app/cache. Default: an emptyDir with a size
    limit."""
    limits: LimitsSpec | None = None
    """What the server accepts; more is refused with an error that says so."""
    probes: ProbesSpec | None = None
    """How the startup, liveness and readiness probes are made. Default: computed from measured
    starts of the model."""
    pod_template: PodTemplateSpec | None = None
    """Labels, annotations and variables added to the pods."""
    suspend: bool | None = None
    """Whether the service is stopped: no pods, everything else stays. Default: false."""


class OcrService(ApiModel):
    """An OcrService without its metadata."""

    spec: OcrServiceSpec
    """What a person asks for."""
    status: OcrServiceStatus | None = None
    """What the operator sees; written by the operator alone."""


__all__ = [
    "ALLOWED",
    "API_VERSION",
    "GROUP",
    "PREFIX",
    "RESERVED",
    "VERSION",
    "ApiModel",
    "AppliedProbe",
    "AuthSpec",
    "ClaimReference",
    "Condition",
    "EnvVar",
    "EnvVarSource",
    "FieldSelector",
    "GpuSpec",
    "ImageSpec",
    "KeySelector",
    "LimitsSpec",
    "LivenessProbe",
    "LocalObjectReference",
    "ModelSpec",
    "OcrService",
    "OcrServiceSpec",
    "OcrServiceStatus",
    "OcrStartupProfile",
    "PodTemplateSpec",
    "ProbeNumbers",
    "ProbesSpec",
    "ProfileData",
    "ProfileSpec",
    "ReadinessProbe",
    "ResourceRequirements",
    "S3Spec",
    "ServiceSpec",
    "StartKeySpec",
    "StartKeyStatus",
    "StartPrior",
    "StartSample",
    "StartupProbe",
    "StartupStatus",
    "Toleration",
    "VolumeSpec",
]
