"""From objects as the API shows them to the views of `core.observed`, and the packed form the cache
keeps.

A view costs its memory only while a reconcile looks at it. Between them the cache holds packed
JSON: 7 KiB for a Deployment that takes 26 KiB as Python objects, 2 for an OcrService that takes 9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.core.observed import (
    ChildKind,
    Key,
    LiveChild,
    PodView,
    ServiceView,
    Termination,
)

Body = Mapping[str, Any]

SERVER_CONTAINER = "server"
INSTANCE_LABEL = "app.kubernetes.io/instance"
TEMPLATE_HASH_LABEL = "pod-template-hash"
POD_ANNOTATIONS = ("ocr-operator.dev/", "kubectl.kubernetes.io/")
"""Prefixes that are kept: network plugins write whole documents into pod annotations."""
METADATA = (
    "name",
    "namespace",
    "labels",
    "annotations",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
)
"""What is kept of a child's metadata: all but managedFields, which is often the larger half."""
DEFAULT_PROBE_PERIOD_SECONDS = 10
"""Kubernetes' own, for a startup probe that does not say."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One object in the cache. `version` orders what was seen of the same object."""

    key: Key
    uid: str
    version: int
    created: str
    content: bytes


def version_of(body: Body) -> int:
    """The resourceVersion; 0, which is never newer, when an API server has another notion of it."""
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


def pack_service(body: Body) -> Packed:
    """An OcrService: spec, status and what is used of the metadata."""
    metadata = body["metadata"]
    content = {
        "generation": metadata.get("generation", 0),
        "annotations": metadata.get("annotations") or {},
        "deleting": "deletionTimestamp" in metadata,
        "spec": body.get("spec") or {},
        "status": body.get("status") or {},
    }
    return _pack(body, metadata["name"], content)


def unpack_service(packed: Packed) -> ServiceView:
    """The view; a stored spec that does not parse, of an older version say, is a `spec_error`."""
    content = json.loads(packed.content)
    spec, error = None, None
    try:
        spec = OcrServiceSpec.model_validate(content["spec"])
    except ValidationError as invalid:
        error = _sentence(invalid)
    return ServiceView(
        key=packed.key,
        uid=packed.uid,
        generation=content["generation"],
        annotations=content["annotations"],
        spec=spec,
        spec_error=error,
        status=content["status"],
        deleting=content["deleting"],
    )


def pack_child(body: Body) -> Packed:
    """A child of any kind; its key is the OcrService of the same name."""
    metadata = {name: body["metadata"][name] for name in METADATA if name in body["metadata"]}
    rest = {name: part for name, part in body.items() if name not in ("metadata", "kind")}
    # Nothing is decided by the rest of a Service's status and the like, but it is small.
    return _pack(body, metadata["name"], {**rest, "metadata": metadata})


def unpack_child(kind: ChildKind, packed: Packed) -> LiveChild:
    """The view."""
    manifest = {**json.loads(packed.content), "kind": kind.value}
    return LiveChild(
        kind=kind,
        name=manifest["metadata"]["name"],
        uid=packed.uid,
        controller_uid=controller_uid(manifest),
        manifest=manifest,
    )


def controller_uid(body: Body) -> str | None:
    """The owner with `controller: true`."""
    owners = body["metadata"].get("ownerReferences") or []
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def read_pod(body: Body) -> PodView:
    """The pod as far as it is used."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    container = _server(spec["containers"]) or {}
    state = _server(status.get("containerStatuses") or []) or {}
    current = state.get("state") or {}
    waiting, running = current.get("waiting") or {}, current.get("running") or {}
    ended = current.get("terminated") or (state.get("lastState") or {}).get("terminated")
    conditions = {entry["type"]: entry for entry in status.get("conditions") or []}
    scheduled = conditions.get("PodScheduled", {})
    contained = conditions.get("ContainersReady", {})
    resources = container.get("resources") or {}
    probe = container.get("startupProbe") or {}
    annotations = metadata.get("annotations") or {}
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        deleting="deletionTimestamp" in metadata,
        phase=status.get("phase", ""),
        pod_ip=status.get("podIP"),
        template_hash=(metadata.get("labels") or {}).get(TEMPLATE_HASH_LABEL, ""),
        annotations={k: v for k, v in annotations.items() if k.startswith(POD_ANNOTATIONS)},
        image=container.get("image", ""),
        image_id=state.get("imageID", ""),
        container_id=state.get("containerID", ""),
        container_count=len(spec["containers"]),
        restart_count=state.get("restartCount", 0),
        started_at=_time(running.get("startedAt")),
        started=bool(state.get("started")),
        ready=bool(state.get("ready")),
        containers_ready_at=(
            _time(contained.get("lastTransitionTime"))
            if contained.get("status") == "True"
            else None
        ),
        waiting_reason=waiting.get("reason", ""),
        waiting_message=waiting.get("message", ""),
        last_termination=_termination(ended) if ended else None,
        scheduled=scheduled.get("status") == "True",
        unschedulable_message=(
            scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else ""
        ),
        cpu_limit=str((resources.get("limits") or {}).get("cpu", "")),
        startup_period_seconds=probe.get("periodSeconds", DEFAULT_PROBE_PERIOD_SECONDS),
        requests=dict(resources.get("requests") or {}),
    )


def pod_key(body: Body) -> Key | None:
    """The OcrService the pod says it belongs to."""
    instance = (body["metadata"].get("labels") or {}).get(INSTANCE_LABEL)
    return Key(body["metadata"]["namespace"], instance) if instance else None


def _pack(body: Body, name: str, content: Mapping[str, Any]) -> Packed:
    metadata = body["metadata"]
    return Packed(
        key=Key(metadata["namespace"], name),
        uid=metadata["uid"],
        version=version_of(body),
        created=metadata.get("creationTimestamp", ""),
        content=json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(),
    )


def _server(entries: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((entry for entry in entries if entry.get("name") == SERVER_CONTAINER), None)


def _termination(ended: Mapping[str, Any]) -> Termination:
    return Termination(
        exit_code=ended.get("exitCode", 0),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
        started_at=_time(ended.get("startedAt")),
        finished_at=_time(ended.get("finishedAt")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _sentence(invalid: ValidationError) -> str:
    """`spec.gpu.count: Input should be a valid integer`, for each mistake."""
    return "; ".join(
        f"{'.'.join(str(part) for part in ('spec', *error['loc']))}: {error['msg']}"
        for error in invalid.errors(include_url=False, include_input=False)
    )
