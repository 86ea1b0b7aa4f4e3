"""`status` of an OcrService: the only source of its field names; the API server prunes others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ocr_operator.api.fields import ApiModel, Count, Generation, Phases, Seconds, Time, list_map
from ocr_operator.api.profile import StartKeyStatus

MESSAGE_MAX = 4096
"""Longest sentence in the status."""

Sentence = Annotated[str, Field(max_length=MESSAGE_MAX)]


class Condition(ApiModel):
    """A metav1 Condition."""

    type: Annotated[str, Field(max_length=316)]
    """What is said: Ready, Progressing, ModelLoaded, ProbesTuned, CapacityAvailable or Degraded."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: Annotated[str, Field(max_length=1024)]
    """Why, in one word that stays the same."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in a sentence."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: Generation | None = None
    """Generation of the spec this was said about."""


class AppliedProbe(ApiModel):
    """Numbers of one probe."""

    period_seconds: Count | None = None
    """Seconds between two probes."""
    timeout_seconds: Count | None = None
    """Seconds one probe may take."""
    failure_threshold: Count | None = None
    """Failures in a row before the kubelet acts."""


class ProbeNumbers(ApiModel):
    """A start budget and the probes made from it."""

    budget_seconds: Seconds | None = None
    """The longest time a start may take, seconds."""
    startup: AppliedProbe | None = None
    """The startup probe."""
    liveness: AppliedProbe | None = None
    """The liveness probe."""
    readiness: AppliedProbe | None = None
    """The readiness probe."""


class StartupStatus(ApiModel):
    """What was measured and what was made from it."""

    key: StartKeyStatus | None = None
    """Starts that are alike: the key of the profile they are kept in."""
    level: Annotated[str, Field(max_length=32)] | None = None
    """How far the estimate borrows from starts that are less alike; exact means not at all."""
    samples: Count | None = None
    """How many measured starts the estimate rests on."""
    last_seconds: Seconds | None = None
    """Duration of the newest start, seconds."""
    p50_seconds: Annotated[Seconds | None, Field(alias="p50Seconds")] = None
    """Median of the starts, seconds."""
    phases: Phases | None = None
    """Median seconds of each phase of a start, by its name."""
    recommended: ProbeNumbers | None = None
    """What would be applied with the next change of the pod template."""
    applied: ProbeNumbers | None = None
    """What the pod template has."""
    init: Annotated[str, Field(max_length=32)] | None = None
    """Median of the starts for people, such as 38s."""
    budget: Annotated[str, Field(max_length=32)] | None = None
    """Applied start budget for people, such as 2m33s."""
    last_measured_time: Time | None = None
    """When the newest start was measured."""
    explanation: Sentence | None = None
    """One sentence that derives the budget from the measurements."""


class OcrServiceStatus(ApiModel):
    """What the operator sees."""

    observed_generation: Generation | None = None
    """Generation of the spec the status was written for."""
    conditions: (
        Annotated[tuple[Condition, ...], Field(max_length=32, json_schema_extra=list_map("type"))]
        | None
    ) = None
    """What holds and why: Ready, Progressing, ModelLoaded, ProbesTuned, CapacityAvailable,
    Degraded."""
    url: Annotated[str, Field(max_length=512)] | None = None
    """Address of the service inside the cluster."""
    replicas: Count | None = None
    """Pods there are."""
    ready_replicas: Count | None = None
    """Pods that are ready."""
    replicas_text: Annotated[str, Field(max_length=32)] | None = None
    """Ready and wanted pods for people, such as 1/1."""
    selector: Annotated[str, Field(max_length=1024)] | None = None
    """Label selector of the pods, for the scale subresource."""
    model: Annotated[str, Field(max_length=128)] | None = None
    """Model and version that are applied, such as paddleocr-vl-1.6."""
    startup: StartupStatus | None = None
    """What was measured about starts, and the probes made from it."""
