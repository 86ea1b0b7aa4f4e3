"""A cluster in memory: what the API server and the Deployment controller do to what a plan writes.

It knows server-side apply of one manager, the defaults of the objects we make, and how a
Deployment's status follows its pods. The reconcile is the runtime's, without anything that awaits.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from objects import KEY, NOW, UID, document, observed, pod, policy, reading, seconds, spec

from ocr_operator.core.actions import Apply, Event, Plan, Policy
from ocr_operator.core.canonical import digest
from ocr_operator.core.contains import ATOMIC_MAPS, LIST_KEYS
from ocr_operator.core.observed import (
    ChildKind,
    DocumentReading,
    LiveChild,
    Observed,
    PodView,
    ServiceView,
)
from ocr_operator.core.plan import plan
from ocr_operator.startup.catalogue import CatalogueModel
from ocr_operator.startup.profile import Profile, record
from ocr_operator.startup.sample import Document, StartKey

Json = dict[str, Any]

MANAGED_BY = ("app.kubernetes.io/managed-by", "ocr-operator")
ROUNDS = 4


@dataclass
class Simulated:
    """One OcrService in a cluster. `writes` counts what the operator wrote, by kind."""

    service: ServiceView
    policy: Policy = field(default_factory=policy)
    now: datetime = NOW
    objects: dict[ChildKind, Json] = field(default_factory=dict)
    applied: dict[ChildKind, Json] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    readings: dict[str, DocumentReading] = field(default_factory=dict)
    profiles: dict[StartKey, Profile] = field(default_factory=dict)
    writes: Counter[str] = field(default_factory=Counter)
    events: list[Event] = field(default_factory=list)
    last: Plan = field(default_factory=Plan)

    # What a person does.

    def edit(self, model: str | Json = "pp-ocr", **fields: Any) -> None:
        wanted = spec(model, **fields)
        if wanted != self.service.spec:
            generation = self.service.generation + 1
            self.service = replace(self.service, spec=wanted, generation=generation)

    def patch(self, kind: ChildKind, change: Callable[[Json], None]) -> None:
        """Another manager changes an object."""
        before = copy.deepcopy(self.objects[kind])
        change(self.objects[kind])
        self._bump(kind, before)

    def rollout_restart(self, at: str = "2026-11-21T05:00:00Z") -> None:
        def annotate(live: Json) -> None:
            metadata = live["spec"]["template"].setdefault("metadata", {})
            metadata.setdefault("annotations", {})["kubectl.kubernetes.io/restartedAt"] = at

        self.patch(ChildKind.DEPLOYMENT, annotate)

    # What the cluster does.

    def wait(self, amount: float) -> None:
        self.now += seconds(amount)

    @property
    def deployment(self) -> Json:
        return self.objects[ChildKind.DEPLOYMENT]

    @property
    def model(self) -> CatalogueModel:
        assert self.service.spec is not None
        return self.policy.catalogue.models[self.service.spec.model.name]

    @property
    def template(self) -> Json:
        return dict(self.deployment["spec"]["template"])

    @property
    def server(self) -> Json:
        return dict(self.template["spec"]["containers"][0])

    @property
    def template_hash(self) -> str:
        """Changes exactly when the Deployment controller would roll."""
        return digest(self.template)

    def roll(self) -> list[str]:
        """The controller replaces the pods by those of the newest template, which begin to run."""
        wanted, created = self.deployment["spec"]["replicas"], []
        for name, old in list(self.pods.items()):
            if old.template_hash != self.template_hash or len(self.pods) > wanted:
                del self.pods[name]
        while len(self.pods) < wanted:
            name = f"invoices-{self.template_hash[:6]}-{self.writes.total()}-{len(self.pods)}"
            annotations = self.template.get("metadata", {}).get("annotations", {})
            self.pods[name] = pod(
                name,
                created_at=self.now,
                started_at=self.now,
                template_hash=self.template_hash,
                annotations=annotations,
                image=self.server["image"],
                cpu_limit=self.server["resources"].get("limits", {}).get("cpu", ""),
                startup_period_seconds=self.server["startupProbe"]["periodSeconds"],
            )
            created.append(name)
        self.count()
        return created

    def read(self, name: str, answer: Document | None = None, failures: int = 0) -> None:
        """The operator reads the pod's document."""
        of = self.pods[name]
        self.readings[of.container_id] = reading(of, answer, read_at=self.now, failures=failures)

    def make_ready(self, name: str, counted: bool = True) -> None:
        at = self.now.replace(microsecond=0)
        self.pods[name] = replace(self.pods[name], started=True, ready=True, containers_ready_at=at)
        if counted:
            self.count()

    def start_pods(self, took: float = 2.0, answer: Document | None = None) -> None:
        """Roll, load, be read and become ready, with a reconcile after each event."""
        created, model = self.roll(), self.model
        says = answer or document(init_seconds=took, model=model.name, version=model.versions[-1])
        self.reconcile()
        self.wait(took)
        for name in created:
            self.read(name, says)
            self.reconcile()
        self.wait(1)
        for name in created:
            self.make_ready(name, counted=False)
            self.reconcile()
            self.count()
            self.reconcile()

    # What the runtime does.

    def reconcile(self) -> Plan:
        """Decide, apply, decide again, write the status: as `runtime.reconciler` does."""
        decision = self.decide()
        events = decision.events
        for change in decision.apply:
            self._apply(change)
        if decision.apply:
            changes = decision.apply
            decision = replace(self.decide(), apply=changes)
            events = tuple(dict.fromkeys((*events, *decision.events)))
        if decision.status is not None:
            self.writes["status"] += 1
            self.service = replace(self.service, status=copy.deepcopy(decision.status))
        self.events += events
        self.last = decision
        return decision

    def decide(self) -> Plan:
        lookups: dict[ChildKind, LiveChild | None] = {}
        for _ in range(ROUNDS):
            decision = plan(self.observe(lookups), self.policy, self.now)
            for key, start in decision.starts:
                self.profiles[key] = record(self.profiles.get(key, Profile(key)), start)
            for kind in decision.lookups:
                found = self.objects.get(kind)
                lookups[kind] = live_child(kind, found) if found else None
            if not decision.lookups and not decision.starts:
                return decision
        raise AssertionError("the plan does not settle")

    def restart_operator(self) -> None:
        self.readings.clear()

    def observe(self, lookups: dict[ChildKind, LiveChild | None]) -> Observed:
        key, value = MANAGED_BY
        cached = {
            kind: live_child(kind, body)
            for kind, body in self.objects.items()
            if body["metadata"].get("labels", {}).get(key) == value
        }
        model = self.service.spec.model.name if self.service.spec else ""
        return observed(
            self.service,
            children=cached,
            lookups=lookups,
            pods=tuple(self.pods.values()),
            readings=dict(self.readings),
            profiles=tuple(p for p in self.profiles.values() if p.key.model == model),
        )

    # What is seen.

    def condition(self, kind: str) -> Json:
        found = [c for c in self.service.status["conditions"] if c["type"] == kind]
        return dict(found[0])

    def startup(self) -> Json:
        return dict(self.service.status["startup"])

    def _apply(self, change: Apply) -> None:
        self.writes[change.kind.value] += 1
        before = self.objects.get(change.kind, {})
        if not change.force:
            assert not before, "a creation met an object"
        merged = merge(before, change.manifest, self.applied.get(change.kind, {}))
        self.applied[change.kind] = copy.deepcopy(change.manifest)
        self.objects[change.kind] = stored(change.kind, merged)
        metadata = self.objects[change.kind]["metadata"]
        metadata.setdefault("uid", f"uid-{change.kind.value}")
        self._bump(change.kind, before)

    def _bump(self, kind: ChildKind, before: Json) -> None:
        live = self.objects[kind]
        if before.get("spec") != live["spec"]:
            generation = live["metadata"].get("generation", 0)
            live["metadata"]["generation"] = generation + 1

    def count(self) -> None:
        """The Deployment's status as its controller writes it."""
        live, wanted = self.deployment, self.deployment["spec"]["replicas"]
        pods = self.pods.values()
        now_ready = sum(entry.ready for entry in pods)
        old = live.get("status", {}).get("conditions", [{}])[0].get("reason", "ReplicaSetUpdated")
        newest = digest(self.template)
        complete = now_ready >= wanted and all(entry.template_hash == newest for entry in pods)
        live["status"] = {
            "observedGeneration": live["metadata"]["generation"],
            "replicas": len(self.pods),
            "updatedReplicas": sum(entry.template_hash == newest for entry in pods),
            "readyReplicas": now_ready,
            "conditions": [
                {"type": "Progressing", "reason": "NewReplicaSetAvailable" if complete else old}
            ],
        }


def cluster(model: str | Json = "pp-ocr", **fields: Any) -> Simulated:
    """A cluster with this OcrService and nothing else."""
    return Simulated(
        ServiceView(
            key=KEY,
            uid=UID,
            generation=1,
            annotations={},
            spec=spec(model, **fields),
            spec_error=None,
            status={},
        )
    )


def live_child(kind: ChildKind, manifest: Json) -> LiveChild:
    owners = manifest["metadata"].get("ownerReferences", [])
    controller = next((owner["uid"] for owner in owners if owner.get("controller")), None)
    name = manifest["metadata"]["name"]
    return LiveChild(kind, name, f"uid-{kind.value}", controller, copy.deepcopy(manifest))


def merge(live: Any, wanted: Any, owned: Any, name: str = "") -> Any:
    """Server-side apply with force by the only manager that ever applied: what it no longer sends
    goes, what others added stays."""
    if name in ATOMIC_MAPS:
        return copy.deepcopy(wanted)
    if isinstance(wanted, dict):
        live, owned = (part if isinstance(part, dict) else {} for part in (live, owned))
        kept = {key: part for key, part in live.items() if key not in owned or key in wanted}
        for key, part in wanted.items():
            kept[key] = merge(live.get(key), part, owned.get(key), key)
        return kept
    keys = LIST_KEYS.get(name)
    if not isinstance(wanted, list) or keys is None:
        return copy.deepcopy(wanted)

    def identity(entry: Json) -> tuple[Any, ...]:
        return tuple(entry.get(key) for key in keys)

    have, had = ({identity(e): e for e in part or []} for part in (live, owned))
    sent = {identity(entry): entry for entry in wanted}
    others = [entry for key, entry in have.items() if key not in had and key not in sent]
    return [merge(have.get(key), entry, had.get(key)) for key, entry in sent.items()] + others


def stored(kind: ChildKind, manifest: Json) -> Json:
    """As the API server keeps it: zero values gone, quantities rewritten, defaults filled in."""
    body = _stored(manifest, ())
    if kind is ChildKind.SERVICE:
        return _with_service_defaults(body)
    pod_spec = body["spec"]["template"]["spec"]
    body["spec"]["template"]["metadata"].setdefault("creationTimestamp", None)
    defaults = {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default"}
    for key, value in defaults.items():
        pod_spec.setdefault(key, value)
    for container in pod_spec["containers"]:
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container[probe]["httpGet"].setdefault("scheme", "HTTP")
            container[probe].setdefault("successThreshold", 1)
    for volume in pod_spec["volumes"]:
        for source in ("secret", "configMap"):
            if source in volume:
                volume[source].setdefault("defaultMode", 420)
    return body


def _with_service_defaults(body: Json) -> Json:
    defaults = {"clusterIP": "10.96.0.7", "sessionAffinity": "None", "ipFamilies": ["IPv4"]}
    for key, value in defaults.items():
        body["spec"].setdefault(key, value)
    if body["spec"]["type"] != "ClusterIP":
        for port in body["spec"]["ports"]:
            port.setdefault("nodePort", 30081)
    return body


def _stored(part: Any, path: tuple[str, ...]) -> Any:
    if isinstance(part, dict):
        kept = {key: _stored(value, (*path, key)) for key, value in part.items()}
        return {key: value for key, value in kept.items() if not _dropped(key, value)}
    if isinstance(part, list):
        return [_stored(entry, path) for entry in part]
    if isinstance(part, str) and {"requests", "limits"} & set(path[-2:]):
        return _rewritten(part)
    return part


def _dropped(key: str, value: Any) -> bool:
    """`omitempty`: pointers to zero values stay, and these are our pointers."""
    pointers = {"replicas", "automountServiceAccountToken", "enableServiceLinks", "optional"}
    pointers |= {"allowPrivilegeEscalation", "maxSurge", "maxUnavailable"}
    return key not in pointers and value in ("", 0, None, False)


def _rewritten(quantity: str) -> str:
    if found := re.fullmatch(r"(\d+)000m", quantity):
        return found[1]
    if found := re.fullmatch(r"(\d+)Mi", quantity):
        mebibytes = int(found[1])
        return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else quantity
    return quantity
