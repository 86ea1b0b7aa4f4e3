"""The pod template."""

from __future__ import annotations

from typing import Any

from ocr_operator.core.builders.environment import environment, grace_period
from ocr_operator.core.builders.labels import common_labels
from ocr_operator.core.builders.volumes import mounts, volumes
from ocr_operator.core.quantity import less
from ocr_operator.core.resolve import Resolved
from ocr_operator.startup.probes import Probe, Probes

SERVER = "server"
PORT_NAME = "http"
USER = 10001
"""User and group of the image; any number that is not root's would do."""
ARCHITECTURE = {"kubernetes.io/arch": "amd64"}
"""The images are built for it alone."""


def pod_template(service: Resolved, probes: Probes) -> dict[str, Any]:
    """The template, without anything that is empty: what is not said is not owned."""
    spec, extra = service.spec, service.spec.pod_template
    labels = {**((extra.labels if extra else None) or {}), **common_labels(service.key.name)}
    annotations = dict((extra.annotations if extra else None) or {})
    metadata = {"labels": labels, **({"annotations": annotations} if annotations else {})}
    optional: dict[str, Any] = {
        "imagePullSecrets": [{"name": ref.name} for ref in spec.image_pull_secrets or ()],
        "tolerations": [toleration.wire() for toleration in spec.tolerations or ()],
    }
    return {
        "metadata": metadata,
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            # Said always: the API server copies it into the deprecated serviceAccount, and would
            # take it back from there when it is no longer applied.
            "serviceAccountName": (extra.service_account_name if extra else None) or "default",
            "terminationGracePeriodSeconds": grace_period(service),
            "nodeSelector": {**ARCHITECTURE, **(spec.node_selector or {})},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                # Without it the kubelet walks the whole cache claim before every start.
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **{name: value for name, value in optional.items() if value},
            "containers": [_server(service, probes)],
            "volumes": volumes(service),
        },
    }


def _server(service: Resolved, probes: Probes) -> dict[str, Any]:
    return {
        "name": SERVER,
        "image": service.image,
        "imagePullPolicy": service.pull_policy,
        "ports": [{"name": PORT_NAME, "containerPort": service.model.port, "protocol": "TCP"}],
        "env": environment(service, probes),
        "resources": resources(service),
        "startupProbe": probe(probes.startup),
        "readinessProbe": probe(probes.readiness),
        "livenessProbe": probe(probes.liveness),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts(service),
    }


def probe(numbers: Probe) -> dict[str, Any]:
    """A core Probe. Delay 0 and one success are Kubernetes' defaults and said all the same: a delay
    put in by hand is then a difference, and is put back."""
    grace = {} if numbers.grace is None else {"terminationGracePeriodSeconds": numbers.grace}
    return {
        "httpGet": {"path": numbers.path, "port": PORT_NAME},
        "initialDelaySeconds": numbers.initial_delay,
        "periodSeconds": numbers.period,
        "timeoutSeconds": numbers.timeout,
        "failureThreshold": numbers.failure_threshold,
        "successThreshold": numbers.success_threshold,
        **grace,
    }


def resources(service: Resolved) -> dict[str, Any]:
    """The catalogue's, resource by resource replaced by a person's. Where a person set one side
    alone, the catalogue's other side gives way: a request above its limit is refused."""
    own = service.spec.resources
    own_requests = dict((own.requests if own else None) or {})
    own_limits = dict((own.limits if own else None) or {})
    requests = {**service.model.requests, **own_requests}
    limits = {**service.model.limits, **own_limits}
    for name in requests.keys() & limits.keys():
        if less(limits[name], requests[name]):
            if name in own_limits:
                requests[name] = limits[name]
            else:
                limits[name] = requests[name]
    if service.gpu_count:
        limits[service.gpu_resource] = str(service.gpu_count)
    parts = {"requests": requests, "limits": limits}
    return {name: dict(sorted(part.items())) for name, part in parts.items() if part}
