"""From the spec and the installation to what is meant, or to the sentence that says what is
wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.core import image, reasons
from ocr_operator.core.actions import Policy
from ocr_operator.core.observed import Key, ServiceView
from ocr_operator.startup.catalogue import Catalogue, CatalogueModel

DEFAULT_GPU = "nvidia.com/gpu"
DEFAULT_SERVICE_PORT = 8081


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person has to act on: a reason and one sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """An OcrService with every choice made that its children depend on."""

    key: Key
    uid: str
    spec: OcrServiceSpec
    model: CatalogueModel
    version: str
    backend: str
    image: str
    """Full reference."""
    pull_policy: str
    gpu_count: int
    gpu_resource: str

    @property
    def subject(self) -> str:
        """The model for people: `pp-ocr 6`."""
        return f"{self.model.name} {self.version}"

    @property
    def surge(self) -> bool:
        """Whether a rollout starts a new pod beside the old ones. With a GPU it would wait for one
        that the old pod holds: a deadlock where every GPU is taken."""
        return self.gpu_count == 0

    @property
    def suspended(self) -> bool:
        return bool(self.spec.suspend)

    @property
    def replicas(self) -> int:
        """Pods that are wanted."""
        if self.suspended:
            return 0
        return 1 if self.spec.replicas is None else self.spec.replicas

    @property
    def service_port(self) -> int:
        service = self.spec.service
        return (service.port if service else None) or DEFAULT_SERVICE_PORT

    @property
    def url(self) -> str:
        return f"http://{self.key.name}.{self.key.namespace}.svc:{self.service_port}"


def resolve(service: ServiceView, policy: Policy) -> Resolved | Problem:
    """Resolve, or the first thing that is wrong."""
    spec = service.spec
    if spec is None:
        return Problem(reasons.INVALID_SPEC, f"The spec cannot be read: {service.spec_error}.")
    model = policy.catalogue.models.get(spec.model.name)
    if model is None:
        return _unknown_model(spec, policy.catalogue)
    for check in CHECKS:
        problem = check(spec, model, policy)
        if problem is not None:
            return problem
    gpu, own_image = spec.gpu, spec.image
    installed = policy.images.get(model.image, "")
    return Resolved(
        key=service.key,
        uid=service.uid,
        spec=spec,
        model=model,
        version=spec.model.version or model.versions[-1],
        backend=spec.model.backend or model.backends[0],
        image=image.merged(installed, own_image).reference,
        pull_policy=(own_image.pull_policy if own_image else None) or policy.image_pull_policy,
        gpu_count=model.gpu_count if gpu is None or gpu.count is None else gpu.count,
        gpu_resource=(gpu.resource_name if gpu else None) or DEFAULT_GPU,
    )


def _unknown_model(spec: OcrServiceSpec, catalogue: Catalogue) -> Problem:
    known = ", ".join(catalogue.models) or "none"
    return Problem(
        reasons.UNKNOWN_MODEL,
        f"There is no model {spec.model.name} in the catalogue; known are {known}. "
        "The chart value catalogue.extra adds models.",
    )


def _known_version(spec: OcrServiceSpec, model: CatalogueModel, _: Policy) -> Problem | None:
    version = spec.model.version
    if version is None or version in model.versions:
        return None
    known = ", ".join(model.versions)
    return Problem(
        reasons.INVALID_SPEC,
        f"Model {model.name} has no version {version}; known are {known}.",
    )


def _known_backend(spec: OcrServiceSpec, model: CatalogueModel, _: Policy) -> Problem | None:
    backend = spec.model.backend
    if backend is None or backend in model.backends:
        return None
    known = ", ".join(model.backends)
    return Problem(
        reasons.INVALID_SPEC,
        f"Model {model.name} has no backend {backend}; known are {known}.",
    )


def _readable_languages(
    spec: OcrServiceSpec, model: CatalogueModel, policy: Policy
) -> Problem | None:
    wanted = spec.model.languages or ()
    unread = [code for code in wanted if model.languages and code not in model.languages]
    if not unread:
        return None
    able = [
        other.name
        for other in policy.catalogue.models.values()
        if other.languages and set(wanted) <= set(other.languages)
    ]
    advice = f"{' and '.join(able)} can" if able else "no model of the catalogue with a list can"
    return Problem(
        reasons.UNSUPPORTED_LANGUAGE,
        f"Model {model.name} cannot read {', '.join(unread)}; {advice} read "
        f"{', '.join(wanted)}. It reads {', '.join(model.languages)}.",
    )


def _has_image(spec: OcrServiceSpec, model: CatalogueModel, policy: Policy) -> Problem | None:
    if policy.images.get(model.image) or (spec.image is not None and spec.image.repository):
        return None
    return Problem(
        reasons.INVALID_SPEC,
        f"The operator was installed without an image for model {model.name} (chart value "
        f"images.{model.image}): set spec.image.repository and tag, or the chart value.",
    )


CHECKS: tuple[Callable[[OcrServiceSpec, CatalogueModel, Policy], Problem | None], ...] = (
    _known_version,
    _known_backend,
    _readable_languages,
    _has_image,
)
