"""OcrStartupProfile: what was measured for one key across all services."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ocr_operator.api.fields import INT64, ApiModel, Count, Phases, Seconds, Time, rule, rules

PROFILE_SAMPLES_MAX = 200
"""Samples kept for one key; the window of the estimate."""

_Part = Annotated[str, Field(max_length=512)]


class StartKeyStatus(ApiModel):
    """What starts have in common that are alike, as far as it is known."""

    model: _Part | None = None
    """Name of the model."""
    version: _Part | None = None
    """Version of the model."""
    backend: _Part | None = None
    """Where the model runs."""
    repository: _Part | None = None
    """Repository of the image, as the pod names it."""
    digest: _Part | None = None
    """Hexadecimal digest of the image the container ran."""
    device: _Part | None = None
    """Name of the accelerator, or cpu."""
    cpu_limit: _Part | None = None
    """Cores the container may use, for models that run on CPU; empty without a limit."""


class StartKeySpec(StartKeyStatus):
    """What starts have in common that are alike."""

    model: _Part
    """Name of the model."""


class StartPrior(ApiModel):
    """What is known about starts before the first one is measured here."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.maxSeconds) || self.maxSeconds >= self.medianSeconds",
                "prior.maxSeconds must not be less than prior.medianSeconds",
            )
        )
    )

    median_seconds: Annotated[Seconds, Field(gt=0, le=86400)]
    """Median of the starts, seconds."""
    spread: Annotated[float, Field(gt=0, le=5)]
    """Standard deviation of the natural logarithm of the seconds: 0.1 is steady, 0.5 varies a
    lot."""
    source: Annotated[str, Field(min_length=1, max_length=512)]
    """Where the numbers come from, for people."""
    count: Count | None = None
    """How many starts the numbers rest on. Default: 0, a guess."""
    max_seconds: Annotated[Seconds, Field(gt=0, le=86400)] | None = None
    """The longest of those starts, seconds. Default: unknown."""


class ProfileSpec(ApiModel):
    """Which starts, and what a person says about them."""

    key: StartKeySpec
    """Which starts these are."""
    prior: StartPrior | None = None
    """What is known from elsewhere, another cluster for example; the operator never writes it."""


class StartSample(ApiModel):
    """One start that became ready."""

    container_id: Annotated[str, Field(max_length=256, alias="containerID")]
    """The container, counted once."""
    started_at: Time
    """When the container started."""
    seconds: Seconds
    """Seconds until it was ready."""
    source: Literal["document", "pod"]
    """Where the seconds come from: the server's startup document, or the Pod's own times."""
    resolution: Seconds | None = None
    """How far the seconds may be off."""
    phases: Phases | None = None
    """Seconds of each phase, by its name."""


class ProfileData(ApiModel):
    """What the operator measured."""

    samples: Annotated[tuple[StartSample, ...], Field(max_length=PROFILE_SAMPLES_MAX)] | None = None
    """Starts, oldest first."""
    dropped: Annotated[int, Field(ge=0, json_schema_extra=INT64)] | None = None
    """How many starts left the window."""
    newest_dropped: Time | None = None
    """When the newest of those started; older ones are not counted again."""


class OcrStartupProfile(ApiModel):
    """An OcrStartupProfile without its metadata."""

    spec: ProfileSpec
    """Which starts, and what a person says about them."""
    data: ProfileData | None = None
    """What the operator measured; written by the operator alone."""
