"""`spec.probes`: how the probes are computed, and what a person sets by hand instead."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from ocr_operator.api.fields import INT32, INT64, ApiModel, Count, Positive, rule, rules
from ocr_operator.api.text import Probability

MIN_BUDGET_SECONDS = 60
"""Default of `minBudgetSeconds`: below it, noise of a busy node would be taken for a hang."""
MAX_BUDGET_SECONDS = 3600
"""Default of `maxBudgetSeconds`."""
BUDGET_LIMIT_SECONDS = 86400
"""The longest budget that can be asked for, a day."""

_OnlyOnce = Annotated[
    int,
    Field(
        json_schema_extra=rules(
            rule(
                "self == 1",
                "successThreshold must be 1 here, Kubernetes allows no other; remove it",
            ),
            **INT32,
        )
    ),
]
_Grace = Annotated[int, Field(ge=1, json_schema_extra=INT64)]
_Budget = Annotated[int, Field(ge=1, le=BUDGET_LIMIT_SECONDS, json_schema_extra=INT32)]

_STARTUP_TIMEOUT = rule(
    "!has(self.timeoutSeconds) || !has(self.periodSeconds) "
    "|| self.timeoutSeconds <= self.periodSeconds",
    "probes.startup.timeoutSeconds must not be longer than probes.startup.periodSeconds: "
    "a longer one stretches the budget in secret",
    ".timeoutSeconds",
)


class StartupProbe(ApiModel):
    """Fields of the startup probe set by hand."""

    model_config = ConfigDict(json_schema_extra=rules(_STARTUP_TIMEOUT))

    initial_delay_seconds: Count | None = None
    """Seconds before the first probe. Default: 0, a delay only keeps a ready pod out of traffic."""
    period_seconds: Positive | None = None
    """Seconds between two probes. Default: a twentieth of the median start, 1 to 10."""
    timeout_seconds: Positive | None = None
    """Seconds one probe may take. Default: the period, at most 5."""
    failure_threshold: Positive | None = None
    """Failures in a row that end the container. Default: the start budget divided by the period,
    rounded up, plus one."""
    success_threshold: _OnlyOnce | None = None
    """Successes in a row that are needed; Kubernetes allows only 1 for this probe."""
    termination_grace_period_seconds: _Grace | None = None
    """Seconds to stop after this probe failed. Default: 5, a hung start has nothing to drain."""


class LivenessProbe(ApiModel):
    """Fields of the liveness probe set by hand."""

    initial_delay_seconds: Count | None = None
    """Seconds before the first probe once the startup probe succeeded. Default: 0."""
    period_seconds: Positive | None = None
    """Seconds between two probes. Default: 5."""
    timeout_seconds: Positive | None = None
    """Seconds one probe may take. Default: 5."""
    failure_threshold: Positive | None = None
    """Failures in a row that end the container. Default: 3."""
    success_threshold: _OnlyOnce | None = None
    """Successes in a row that are needed; Kubernetes allows only 1 for this probe."""
    termination_grace_period_seconds: _Grace | None = None
    """Seconds to stop after this probe failed. Default: 10."""


class ReadinessProbe(ApiModel):
    """Fields of the readiness probe set by hand."""

    initial_delay_seconds: Count | None = None
    """Seconds before the first probe once the startup probe succeeded. Default: 0."""
    period_seconds: Positive | None = None
    """Seconds between two probes. Default: a twentieth of the median start, 1 to 5."""
    timeout_seconds: Positive | None = None
    """Seconds one probe may take. Default: the period."""
    failure_threshold: Positive | None = None
    """Failures in a row after which the pod gets no traffic. Default: 3."""
    success_threshold: Positive | None = None
    """Successes in a row after which the pod gets traffic. Default: 1."""


class ProbesSpec(ApiModel):
    """How the probes of the server are made."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"(has(self.minBudgetSeconds) ? self.minBudgetSeconds : {MIN_BUDGET_SECONDS}) <= "
                f"(has(self.maxBudgetSeconds) ? self.maxBudgetSeconds : {MAX_BUDGET_SECONDS})",
                "probes.minBudgetSeconds must not be more than probes.maxBudgetSeconds "
                f"(not set, they are {MIN_BUDGET_SECONDS} and {MAX_BUDGET_SECONDS})",
            )
        )
    )

    mode: Literal["Measured", "Static"] | None = None
    """Measured computes the probes from measured starts of this model, Static from the catalogue's
    prior alone. Default: Measured."""
    false_kill_probability: Probability | None = None
    """The share of healthy starts that may be killed for being slow, a decimal number in quotes.
    Default: "0.001"."""
    min_budget_seconds: _Budget | None = None
    """The shortest start budget in seconds, however fast the starts are. Default: 60."""
    max_budget_seconds: _Budget | None = None
    """The longest start budget in seconds, however slow the starts are. Default: 3600."""
    startup: StartupProbe | None = None
    """Fields of the startup probe set by hand; each one set wins over the computed one."""
    liveness: LivenessProbe | None = None
    """Fields of the liveness probe set by hand; each one set wins over the computed one."""
    readiness: ReadinessProbe | None = None
    """Fields of the readiness probe set by hand; each one set wins over the computed one."""
