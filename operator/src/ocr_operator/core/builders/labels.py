"""Labels and annotations: what is found by them, and what is remembered in them."""

from __future__ import annotations

from ocr_operator.core.actions import FIELD_MANAGER, PREFIX

INPUT_HASH = PREFIX + "input-hash"
"""Of a Deployment: hash of what its template was rendered from."""
RENDERED_TEMPLATE = PREFIX + "rendered-template"
"""Of a Deployment: that template, canonical JSON."""
RENDERED_STARTUP = PREFIX + "rendered-startup"
"""Of a Deployment: what the numbers in that template were computed from, JSON."""
APPLIED_HASH = PREFIX + "applied-hash"
"""Of every child: hash of the manifest applied last. A field that is no longer in it shows as a
difference here and nowhere else."""
ADOPT = PREFIX + "adopt"
"""Of an OcrService: `"true"` takes over objects of its name that nobody controls."""
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""Of a pod template: `kubectl rollout restart` sets it. It is never in what we render."""


def selector_labels(name: str) -> dict[str, str]:
    """Selects the service's pods. Immutable in a Deployment: these two, for ever."""
    return {"app.kubernetes.io/name": "ocr-service", "app.kubernetes.io/instance": name}


def common_labels(name: str) -> dict[str, str]:
    """Labels of every child and of the pods; the watches select by managed-by."""
    return {
        **selector_labels(name),
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        "app.kubernetes.io/component": "server",
        "app.kubernetes.io/part-of": "ocr-operator",
    }


def selector_text(name: str) -> str:
    """For `status.selector`."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector_labels(name).items()))
