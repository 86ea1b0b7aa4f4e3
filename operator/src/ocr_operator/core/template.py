"""What a rendered pod template says: read back, because it is what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocr_operator.core.builders.environment import HEARTBEAT
from ocr_operator.core.builders.labels import RESTARTED_AT
from ocr_operator.core.builders.pod import SERVER
from ocr_operator.startup.probes import Probe

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TemplateProbes:
    """The three probes of the server's container."""

    startup: Probe
    readiness: Probe
    liveness: Probe


def server(template: Json) -> Json:
    """The server's container. Raises `KeyError` where there is none."""
    for container in template["spec"]["containers"]:
        if container["name"] == SERVER:
            return dict(container)
    raise KeyError(SERVER)


def read_probes(template: Json) -> TemplateProbes:
    """Its probes."""
    startup, readiness, liveness = (_probe(server(template)[name]) for name in PROBES)
    return TemplateProbes(startup, readiness, liveness)


def image(template: Json) -> str:
    return str(server(template)["image"])


def port(template: Json) -> int:
    return int(server(template)["ports"][0]["containerPort"])


def grace_period(template: Json) -> int:
    return int(template["spec"]["terminationGracePeriodSeconds"])


def cpu_limit(template: Json) -> str:
    limits = server(template).get("resources", {}).get("limits", {})
    return str(limits.get("cpu", ""))


def environment(template: Json, name: str) -> str:
    """Value of a variable of the server, empty when it has none."""
    entries = server(template)["env"]
    return next((str(e.get("value", "")) for e in entries if e["name"] == name), "")


def uses_gpu(template: Json) -> bool:
    """Whether it asks for a device. By what runs, not by the catalogue of today."""
    return environment(template, "OCR_DEVICE").startswith("gpu")


def has_secrets(template: Json) -> bool:
    """Whether keys or credentials are mounted, which may be deleted at any time."""
    return any("secret" in volume for volume in template["spec"].get("volumes", ()))


def device(template: Json) -> tuple[str, int]:
    """Resource and number of the devices it asks for; only these have a domain in their name."""
    limits = server(template).get("resources", {}).get("limits", {}) if uses_gpu(template) else {}
    devices = ((name, str(count)) for name, count in limits.items() if "/" in name)
    return next(((name, int(count)) for name, count in devices if count.isdecimal()), ("", 0))


def restarted_at(template: Json) -> str:
    """When `kubectl rollout restart` was used on this live template; empty if never."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(RESTARTED_AT, ""))


def without_numbers(template: Json) -> dict[str, Any]:
    """The template but for what is computed from measured starts."""
    containers = []
    for container in template["spec"]["containers"]:
        kept = {name: part for name, part in container.items() if name not in PROBES}
        kept["env"] = [entry for entry in kept.get("env", []) if entry["name"] != HEARTBEAT]
        containers.append(kept)
    return {**template, "spec": {**template["spec"], "containers": containers}}


def readable(template: object) -> bool:
    """Whether everything above can be asked: what an annotation holds may be anything."""
    if not isinstance(template, dict):
        return False
    try:
        read_probes(template), image(template), port(template), grace_period(template)
        has_secrets(template), device(template), restarted_at(template)
        without_numbers(template), cpu_limit(template)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return False
    return True


def _probe(probe: Json) -> Probe:
    return Probe(
        path=probe["httpGet"]["path"],
        period=int(probe["periodSeconds"]),
        timeout=int(probe["timeoutSeconds"]),
        failure_threshold=int(probe["failureThreshold"]),
        initial_delay=int(probe.get("initialDelaySeconds", 0)),
        success_threshold=int(probe.get("successThreshold", 1)),
        grace=probe.get("terminationGracePeriodSeconds"),
    )
