"""What a plan writes is what the next plan finds: for any spec, after any edit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from objects import policy
from simulated import Simulated, cluster

from ocr_operator.core.plan import Plan
from ocr_operator.startup.catalogue import Catalogue

Json = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "example.org/c"])
QUANTITIES = st.sampled_from(["1000m", "1", "500m", "2", "1024Mi", "1Gi", "2Gi", "0.5"])


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def fields(**parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """Any of these fields, none of them null."""
    made = st.fixed_dictionaries({}, optional=parts)
    return made.map(lambda found: {k: v for k, v in found.items() if v is not None})


MAPS = st.dictionaries(NAMES, st.sampled_from(["", "x", "y"]), max_size=3)
CLAIMS = st.sampled_from(["one", "two"]).map(lambda n: {"persistentVolumeClaim": {"claimName": n}})
NUMBERS = st.integers(1, 50)
ENV = st.lists(
    st.one_of(
        st.fixed_dictionaries({"name": NAMES, "value": st.sampled_from(["", "0", "x"])}),
        st.fixed_dictionaries({"name": st.just("OCR_DRAIN_TIMEOUT_S"), "value": st.just("7")}),
    ),
    max_size=3,
    unique_by=lambda entry: entry["name"],
)
PROBE = fields(
    initialDelaySeconds=st.integers(0, 3), periodSeconds=NUMBERS, failureThreshold=NUMBERS
)
SPECS = fields(
    model=st.sampled_from(["pp-ocr", "tesseract", "paddleocr-vl", "scripted"]).map(
        lambda name: {"name": name}
    ),
    image=fields(tag=st.sampled_from(["1", "2"]), pullPolicy=st.just("Always")),
    imagePullSecrets=st.lists(st.just({"name": "registry"}), max_size=1),
    replicas=st.integers(0, 3),
    resources=fields(
        requests=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES),
        limits=st.dictionaries(st.sampled_from(["cpu", "memory"]), QUANTITIES),
    ),
    gpu=fields(count=st.integers(0, 2)),
    nodeSelector=MAPS,
    tolerations=st.lists(fields(key=NAMES, operator=st.just("Exists")), max_size=2),
    service=fields(
        type=st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]),
        port=st.sampled_from([80, 8081]),
        annotations=MAPS,
    ),
    auth=st.sampled_from([{"tokenSecretRef": {"name": "keys"}}, {"mode": "None"}]),
    s3=st.just({"endpoint": "https://s3", "bucket": "results", "prefix": ""}),
    output=CLAIMS,
    cache=CLAIMS,
    limits=fields(maxUploadBytes=st.just("50Mi"), maxPagesSync=NUMBERS),
    probes=fields(
        mode=st.sampled_from(["Measured", "Static"]), maxBudgetSeconds=NUMBERS, startup=PROBE,
        readiness=PROBE, liveness=PROBE,
    ),
    podTemplate=fields(labels=MAPS, annotations=MAPS, env=ENV),
    suspend=st.booleans(),
)  # fmt: skip
FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def quiet(world: Simulated) -> None:
    """Nothing more to write, now or later."""
    for pause in (0.0, 30.0, 3600.0):
        world.wait(pause)
        world.reconcile()
        world.writes.clear()
        assert world.reconcile().status is None
        assert world.last.apply == ()
        assert world.last.events == ()
        assert not world.writes


@FEW
@given(SPECS)
def test_a_plan_after_its_own_writes_writes_nothing(spec: Json) -> None:
    world = cluster(**{"model": "pp-ocr", **spec})
    world.reconcile()
    quiet(world)


@FEW
@given(SPECS, SPECS)
def test_an_edit_leaves_what_a_creation_would_have_made(before: Json, after: Json) -> None:
    edited = cluster(**{"model": "pp-ocr", **before})
    edited.reconcile()
    edited.edit(**{"model": "pp-ocr", **after})
    edited.reconcile()
    quiet(edited)
    created = cluster(**{"model": "pp-ocr", **after})
    created.reconcile()
    for kind, wanted in created.objects.items():
        assert _desired(edited.objects[kind]) == _desired(wanted)


@FEW
@given(SPECS)
def test_a_service_that_runs_is_quiet_and_stays_so_over_a_restart(spec: Json) -> None:
    world = cluster(**{"model": "pp-ocr", **spec})
    world.reconcile()
    world.start_pods()
    quiet(world)
    world.restart_operator()
    assert replace(world.reconcile(), scrapes=()) == Plan()


@FEW
@given(SPECS)
def test_an_operator_that_knows_no_model_changes_nothing_that_runs(spec: Json) -> None:
    world = cluster(**{"model": "pp-ocr", **spec})
    world.reconcile()
    world.start_pods()
    ready = world.condition("Ready")
    world.policy = policy(catalogue=Catalogue())
    world.writes.clear()
    world.reconcile()
    assert world.writes == {"status": 1}
    assert world.condition("Ready") == ready
    assert world.condition("Degraded")["reason"] == "UnknownModel"
    quiet(world)


@FEW
@given(SPECS, st.integers(1, 3))
def test_a_new_service_never_costs_more_than_two_writes_of_status_and_one_per_replica(
    spec: Json, replicas: int
) -> None:
    wanted = {"model": "pp-ocr", **spec, "replicas": replicas, "suspend": False}
    world = cluster(**wanted)
    world.reconcile()
    world.start_pods()
    assert world.condition("Ready")["status"] == "True"
    assert world.writes <= Counter(Deployment=1, Service=1, status=1 + replicas)
    assert [event.reason for event in world.events] == ["Created", "Created", "Ready"]


def _desired(manifest: Json) -> Json:
    """Without what an edited object has had for longer, and what counts or dates changes."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "generation"}
    annotations = {
        key: value
        for key, value in metadata["annotations"].items()
        if key not in ("ocr-operator.dev/rendered-startup", "ocr-operator.dev/applied-hash")
    }
    spec = dict(manifest["spec"])
    if "ports" in spec:
        spec["ports"] = [{k: v for k, v in p.items() if k != "nodePort"} for p in spec["ports"]]
    return {**manifest, "metadata": {**metadata, "annotations": annotations}, "spec": spec}
