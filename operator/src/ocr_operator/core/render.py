"""Which pod template is desired: the one rendered last, unless what it was rendered from changed.

A changed template restarts every pod, so neither a new measurement nor a new operator, catalogue or
default image renders a new one by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from ocr_operator.core import reasons, template
from ocr_operator.core.builders.labels import (
    INPUT_HASH,
    RENDERED_STARTUP,
    RENDERED_TEMPLATE,
    RESTARTED_AT,
)
from ocr_operator.core.builders.pod import pod_template, resources
from ocr_operator.core.canonical import canonical_json, digest, without_empty
from ocr_operator.core.contains import difference
from ocr_operator.core.learn import Learned, Running, learn
from ocr_operator.core.observed import LiveChild, Observed
from ocr_operator.core.resolve import Problem, Resolved

INPUTS = frozenset(
    {
        "model",
        "image",
        "imagePullSecrets",
        "resources",
        "gpu",
        "nodeSelector",
        "tolerations",
        "auth",
        "s3",
        "output",
        "cache",
        "limits",
        "probes",
        "podTemplate",
    }
)
"""Fields of the spec that a template is rendered from. The others roll nothing."""
NOT_INPUTS = frozenset({"replicas", "suspend", "service"})

TEMPLATE_LIMIT_BYTES = 64 * 1024
"""Of the annotation: a Deployment's are copied to each ReplicaSet, and 256 KiB are all there is."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What a template's probes were computed from; remembered beside it."""

    budget: int
    center: float
    samples: int
    level: str
    explanation: str
    restarted_at: str = ""
    """`kubectl rollout restart` as it had been used then."""
    image_since: datetime | None = None
    """When the image became this one; None: with the first render."""


NUMBERS = TypeAdapter(Numbers)
"""Reads and writes them; fields of a newer operator are ignored, a new field needs a default."""


@dataclass(frozen=True, slots=True)
class Render:
    """The desired template. `update` is the path of what a render of today would change beside the
    numbers, empty when nothing."""

    template: Json
    numbers: Numbers
    input_hash: str
    learned: Learned
    """What the next render would use."""
    service: Resolved
    """As it was rendered: another default version of today's catalogue is not what runs."""
    update: str = ""
    problem: Problem | None = None
    """Why it is the last render and not what the spec asks for."""

    @property
    def annotations(self) -> dict[str, str]:
        """Of the Deployment."""
        return {
            INPUT_HASH: self.input_hash,
            RENDERED_TEMPLATE: canonical_json(self.template),
            RENDERED_STARTUP: canonical_json(NUMBERS.dump_python(self.numbers, mode="json")),
        }


def render(
    observed: Observed, service: Resolved, live: LiveChild | None, now: datetime
) -> Render | Problem:
    """The desired template, or why there cannot be one."""
    stored = read_stored(live) if live else None
    restarted_at = template.restarted_at(_live_template(live))
    if stored is None or input_hash(service, stored.numbers.restarted_at) != stored.input_hash:
        return _fresh(observed, service, stored, restarted_at, now)
    if restarted_at != stored.numbers.restarted_at:
        if not _started_since(observed, restarted_at):
            return _fresh(observed, service, stored, restarted_at, now)
        # New numbers join a rollout only while none of its pods has started: those would restart.
        numbers = replace(stored.numbers, restarted_at=restarted_at)
        changed = input_hash(service, restarted_at)
        stored = replace(stored, numbers=numbers, input_hash=changed)
    return _kept(observed, service, stored)


def input_hash(service: Resolved, restarted_at: str) -> str:
    """Hash of everything a render depends on that a person decides."""
    spec = without_empty(service.spec.wire())
    inputs = {name: part for name, part in spec.items() if name in INPUTS}
    return digest({"inputs": inputs, "restartedAt": restarted_at})


@dataclass(frozen=True, slots=True)
class Stored:
    """What a Deployment's annotations say of its last render."""

    template: Json
    numbers: Numbers
    input_hash: str

    @property
    def version(self) -> str:
        return template.environment(self.template, "OCR_MODEL_VERSION")

    @property
    def backend(self) -> str:
        return template.environment(self.template, "OCR_BACKEND")

    @property
    def running(self) -> Running:
        return Running(template.image(self.template), self.numbers.image_since)


def _fresh(
    observed: Observed,
    service: Resolved,
    stored: Stored | None,
    restarted_at: str,
    now: datetime,
) -> Render | Problem:
    # Without a Deployment there is the status alone, and it names the repository.
    running = stored.running if stored else Running(service.image)
    limit = resources(service).get("limits", {}).get("cpu", "")
    learned = learn(observed, service, running, service.image, limit)
    rendered = pod_template(service, learned.probes)
    size = len(canonical_json(rendered).encode())
    if size > TEMPLATE_LIMIT_BYTES:
        return Problem(
            reasons.INVALID_SPEC,
            f"The pod template has {size} bytes, more than {TEMPLATE_LIMIT_BYTES}: move large "
            "values of podTemplate.env into a ConfigMap or Secret and refer to it.",
        )
    since = running.since if running.image == service.image else now
    return Render(
        template=rendered,
        numbers=_numbers(learned, restarted_at, since),
        input_hash=input_hash(service, restarted_at),
        learned=learned,
        service=service,
    )


def _kept(observed: Observed, service: Resolved, stored: Stored) -> Render:
    running, limit = stored.running, template.cpu_limit(stored.template)
    running_service = replace(service, version=stored.version, backend=stored.backend)
    learned = learn(observed, running_service, running, running.image, limit)
    today = template.without_numbers(pod_template(service, learned.probes))
    before = template.without_numbers(stored.template)
    return Render(
        template=stored.template,
        numbers=stored.numbers,
        input_hash=stored.input_hash,
        learned=learned,
        service=running_service,
        update=_path(before, today),
    )


def _path(before: Json, today: Json) -> str:
    if before == today:
        return ""
    return difference(before, today) or difference(today, before) or ""


def _numbers(learned: Learned, restarted_at: str, image_since: datetime | None) -> Numbers:
    return Numbers(
        budget=learned.probes.budget,
        center=round(learned.estimate.center, 3),
        samples=learned.estimate.samples,
        level=learned.level,
        explanation=learned.explanation,
        restarted_at=restarted_at,
        image_since=image_since,
    )


def _started_since(observed: Observed, restarted_at: str) -> bool:
    return any(
        pod.started and pod.annotations.get(RESTARTED_AT, "") == restarted_at
        for pod in observed.pods
    )


def read_stored(live: LiveChild) -> Stored | None:
    """What was rendered last; None when the annotations are gone or not ours to read."""
    annotations: Mapping[str, str] = live.manifest["metadata"].get("annotations") or {}
    try:
        rendered = json.loads(annotations[RENDERED_TEMPLATE])
        numbers = NUMBERS.validate_json(annotations[RENDERED_STARTUP])
        known = annotations[INPUT_HASH]
    except (KeyError, ValueError):
        return None
    return Stored(rendered, numbers, known) if template.readable(rendered) else None


def _live_template(live: LiveChild | None) -> Mapping[str, Any]:
    return {} if live is None else (live.manifest.get("spec") or {}).get("template") or {}
