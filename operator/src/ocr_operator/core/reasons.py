"""Every reason of a condition or an event, and the conditions' types. A reason once published
stays: alerts are written against it."""

from __future__ import annotations

READY = "Ready"
PROGRESSING = "Progressing"
MODEL_LOADED = "ModelLoaded"
PROBES_TUNED = "ProbesTuned"
CAPACITY_AVAILABLE = "CapacityAvailable"
DEGRADED = "Degraded"
CONDITIONS = (READY, PROGRESSING, MODEL_LOADED, PROBES_TUNED, CAPACITY_AVAILABLE, DEGRADED)
"""In the order in which they are written."""

# Ready
SERVING = "Serving"
STARTING = "Starting"
SUSPENDED = "Suspended"
NOT_READY = "NotReady"

# What a person has to change; Ready has them, and an event of type Warning
INVALID_SPEC = "InvalidSpec"
UNKNOWN_MODEL = "UnknownModel"
UNSUPPORTED_LANGUAGE = "UnsupportedLanguage"
NAME_CONFLICT = "NameConflict"
APPLY_REFUSED = "ApplyRefused"

# What goes wrong with pods; Ready has them when nothing serves, Degraded always
IMAGE_PULL_ERROR = "ImagePullError"
INSUFFICIENT_GPU = "InsufficientGPU"
UNSCHEDULABLE = "Unschedulable"
CONTAINER_CONFIG_ERROR = "ContainerConfigError"
LOAD_FAILED = "LoadFailed"
CRASH_LOOP = "CrashLoop"
PODS_REFUSED = "PodsRefused"
PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
PROBLEMS = frozenset(
    {
        INVALID_SPEC,
        UNKNOWN_MODEL,
        UNSUPPORTED_LANGUAGE,
        NAME_CONFLICT,
        APPLY_REFUSED,
        IMAGE_PULL_ERROR,
        INSUFFICIENT_GPU,
        UNSCHEDULABLE,
        CONTAINER_CONFIG_ERROR,
        LOAD_FAILED,
        CRASH_LOOP,
        PODS_REFUSED,
        PROGRESS_DEADLINE_EXCEEDED,
    }
)
"""All of those. Further reasons of Degraded are codes of the server's own warnings."""

# Progressing
ROLLOUT_IN_PROGRESS = "RolloutInProgress"
ROLLOUT_COMPLETE = "RolloutComplete"
UPDATE_AVAILABLE = "UpdateAvailable"
BLOCKED = "Blocked"

# ModelLoaded
LOADED = "Loaded"
LOADING = "Loading"

# ProbesTuned
LEARNING = "Learning"
APPLIED = "Applied"
RECOMMENDATION_PENDING = "RecommendationPending"
STATIC = "Static"

# CapacityAvailable and Degraded
NOTHING_WAITS = "NothingWaits"
AS_EXPECTED = "AsExpected"

# Events only
CREATED = "Created"
UPDATED = "Updated"
REPAIRED = "Repaired"
ADOPTED = "Adopted"
