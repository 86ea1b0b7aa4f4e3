"""Builders of what the pure parts of the operator work on. Everything has a default; a test names
what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.core.actions import Policy
from ocr_operator.core.observed import DocumentReading, Key, Observed, PodView, ServiceView
from ocr_operator.core.resolve import Problem, Resolved, resolve
from ocr_operator.startup.catalogue import Catalogue, read_catalogue
from ocr_operator.startup.profile import Prior, Profile
from ocr_operator.startup.sample import Document, DocumentState, Source, Start, StartKey

Json = dict[str, Any]

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
KEY = Key("team-a", "invoices")
UID = "0b5c3f0e-1111-4222-8333-444455556666"
IMAGE_CPU = "registry.example.org/ocr-inference:cpu-1.0.0"
IMAGE_GPU = "registry.example.org/ocr-inference:gpu-1.0.0"
DIGEST = "a" * 64
NVIDIA = "NVIDIA L4"

SCRIPTED = """
scripted:
  versions: ["1"]
  engine: scripted
  image: cpu
  requests: {cpu: 20m, memory: 64Mi}
  prior: {medianSeconds: 12, spread: 0.5, source: written by the test}
"""


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


def catalogue(extra: str = SCRIPTED) -> Catalogue:
    """The shipped catalogue with `scripted`, as a chart value would add it.

    The prior of pp-ocr is made so wide that whatever is learned differs from it.
    """
    shipped = files("ocr_operator.startup").joinpath("catalogue.yaml").read_text("utf-8")
    models = dict(read_catalogue(shipped, extra).models)
    wide = replace(models["pp-ocr"].prior, spread=1.0)
    return Catalogue(models | {"pp-ocr": replace(models["pp-ocr"], prior=wide)})


def policy(**changes: Any) -> Policy:
    images = {"cpu": IMAGE_CPU, "gpu": IMAGE_GPU}
    return replace(Policy(catalogue=catalogue(), images=images), **changes)


def spec(model: str | Json = "pp-ocr", **fields: Any) -> OcrServiceSpec:
    """Fields as in YAML: camelCase; `model` is its name alone, or the whole."""
    named = {"name": model} if isinstance(model, str) else model
    return OcrServiceSpec.model_validate({"model": named, **fields})


def view(wanted: OcrServiceSpec | None = None, **changes: Any) -> ServiceView:
    service = ServiceView(
        key=KEY,
        uid=UID,
        generation=1,
        annotations={},
        spec=wanted or spec(),
        spec_error=None,
        status={},
    )
    return replace(service, **changes)


def resolved(model: str | Json = "pp-ocr", **fields: Any) -> Resolved:
    found = resolve(view(spec(model, **fields)), policy())
    assert isinstance(found, Resolved), found
    return found


def refusal(model: str | Json = "pp-ocr", **fields: Any) -> Problem:
    found = resolve(view(spec(model, **fields)), policy())
    assert isinstance(found, Problem), found
    return found


def observed(service: ServiceView | None = None, **changes: Any) -> Observed:
    seen = Observed(
        service=service or view(), children={}, lookups={}, pods=(), readings={}, profiles=()
    )
    return replace(seen, **changes)


def pod(name: str = "invoices-5d8f-aaaaa", **changes: Any) -> PodView:
    """A pod whose container began to run at `NOW` and is not ready."""
    created = PodView(
        name=name,
        uid=f"uid-{name}",
        created_at=NOW - seconds(1),
        deleting=False,
        phase="Running",
        pod_ip="10.0.0.7",
        template_hash="5d8f",
        annotations={},
        image=IMAGE_CPU,
        image_id=f"registry.example.org/ocr-inference@sha256:{DIGEST}",
        container_id=f"containerd://{name}",
        container_count=1,
        restart_count=0,
        started_at=NOW,
        started=False,
        ready=False,
        containers_ready_at=None,
        waiting_reason="",
        waiting_message="",
        last_termination=None,
        scheduled=True,
        unschedulable_message="",
        cpu_limit="",
        startup_period_seconds=1,
    )
    return replace(created, **changes)


def ready(before: PodView, at: datetime) -> PodView:
    return replace(before, started=True, ready=True, containers_ready_at=at.replace(microsecond=0))


def document(**changes: Any) -> Document:
    """A ready document of pp-ocr that took 2.09 s."""
    answer = Document(
        model="pp-ocr",
        version="6",
        backend="native",
        device="cpu",
        cpu_limit=None,
        state=DocumentState.READY,
        phases={"process": 0.81, "import": 0.72, "load_model": 0.25, "warmup": 0.31},
        init_seconds=2.09,
        attempts=1,
        error=None,
        warnings=(),
    )
    return replace(answer, **changes)


def reading(of: PodView, answer: Document | None = None, **changes: Any) -> DocumentReading:
    """What was read from the pod at `NOW + 3 s`; without a document the reading failed once."""
    read = DocumentReading(of.container_id, answer, NOW + seconds(3), 0 if answer else 1)
    return replace(read, **changes)


def readings(*entries: DocumentReading) -> Mapping[str, DocumentReading]:
    return {entry.container_id: entry for entry in entries}


def start_key(**changes: Any) -> StartKey:
    """The key of `pod()` with `document()`."""
    key = StartKey("pp-ocr", "6", "native", "registry.example.org/ocr-inference", DIGEST, "cpu")
    return replace(key, **changes)


def start(amount: float, container: str = "", at: datetime = NOW, **changes: Any) -> Start:
    begun = Start(container or f"containerd://{amount}", at, amount, Source.DOCUMENT, 0.01)
    return replace(begun, **changes)


def profile(*amounts: float, key: StartKey | None = None, prior: Prior | None = None) -> Profile:
    """Starts that took so long, an hour apart, the newest a day before `NOW`."""
    begin = NOW - timedelta(days=1, hours=len(amounts))
    starts = tuple(
        start(amount, f"containerd://old-{number}", begin + timedelta(hours=number))
        for number, amount in enumerate(amounts)
    )
    return Profile(key or start_key(), starts, prior)
