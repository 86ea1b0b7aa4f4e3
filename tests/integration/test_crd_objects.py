"""Right objects at a real API server: stored as written, scaled, listed and explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from crd_objects import NAMESPACE, Json, api_with_crds, profile, refusals, service
from kube import Kube
from kubeapi import Api

from ocr_operator.api.v1alpha1 import OcrServiceStatus, OcrStartupProfile

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))

FULL = """
model: {name: pp-ocr, version: "6", backend: native, languages: [en, ru]}
image: {repository: "localhost:5000/ocr/server", tag: "1.4", digest: DIGEST, pullPolicy: Always}
imagePullSecrets: [{name: registry}]
replicas: 1
resources: {requests: {cpu: "4", memory: 16Gi}, limits: {cpu: 8, memory: 32Gi}}
gpu: {count: 1, resourceName: nvidia.com/gpu}
nodeSelector: {}
tolerations: [{operator: Exists}]
service: {type: ClusterIP, port: 8081, annotations: {}}
auth: {tokenSecretRef: {name: invoices-keys}}
s3:
  endpoint: https://s3.example.org
  bucket: results
  prefix: invoices/
  region: auto
  credentialsSecretRef: {name: s3-credentials}
output: {persistentVolumeClaim: {claimName: results}}
cache: {persistentVolumeClaim: {claimName: models}}
limits:
  maxUploadBytes: 50Mi
  maxPagesSync: 100
  maxPagesAsync: 2000
  maxPixels: 40000000
  queueMaxPages: 512
probes:
  mode: Measured
  falseKillProbability: "0.001"
  minBudgetSeconds: 60
  maxBudgetSeconds: 3600
  startup: {periodSeconds: 2, successThreshold: 1}
  liveness: {terminationGracePeriodSeconds: 10}
  readiness: {successThreshold: 2}
podTemplate: {labels: {}, annotations: {}, env: [], serviceAccountName: ""}
suspend: false
""".replace("DIGEST", f"sha256:{'0' * 64}")

HEADER = ["NAME", "READY", "REASON", "REPLICAS", "MODEL", "INIT", "BUDGET", "URL", "AGE"]
PROFILE_HEADER = ["NAME", "MODEL", "VERSION", "DEVICE", "CPU", "PRIOR", "AGE"]

STATUS: Json = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "1 of 1 pods ready",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ],
    "url": "http://invoices.default.svc:8081",
    "replicas": 1,
    "readyReplicas": 1,
    "replicasText": "1/1",
    "selector": "app.kubernetes.io/instance=invoices",
    "model": "paddleocr-vl-1.6",
    "startup": {
        "key": {"model": "paddleocr-vl", "version": "1.6", "cpuLimit": ""},
        "level": "exact",
        "samples": 1,
        "lastSeconds": 38,
        "p50Seconds": 38.125,
        "phases": {"load_model": 30.5},
        "applied": {
            "budgetSeconds": 153,
            "startup": {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 78},
        },
        "init": "38s",
        "budget": "2m33s",
        "lastMeasuredTime": "2026-01-02T03:04:05Z",
        "explanation": "153 s is four times the median of 1 start.",
    },
}


@pytest.fixture(scope="module")
def crd_api(control_plane: Kube) -> Iterator[Api]:
    with api_with_crds(control_plane) as api:
        yield api


@pytest.fixture
def stored(crd_api: Api) -> Iterator[Json]:
    """The smallest service, as the API server stored it."""
    yield crd_api.create("ocrservices", NAMESPACE, service({}))
    crd_api.delete("ocrservices", NAMESPACE, "invoices")


def write_status(api: Api, status: Json) -> Json:
    return api.patch("ocrservices", NAMESPACE, "invoices", {"status": status}, "status")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(crd_api: Api, control_plane: Kube, path: Path) -> None:
    control_plane.kubectl(
        "apply", f"--namespace={NAMESPACE}", "--dry-run=server", f"--filename={path}"
    )


def test_every_field_may_be_set(crd_api: Api) -> None:
    assert refusals(crd_api, service(yaml.safe_load(FULL))) == []


@pytest.mark.parametrize(
    "spec",
    [
        {"service": {"type": "LoadBalancer"}, "auth": {"mode": "None"}},
        {"service": {"type": "NodePort"}, "auth": {"tokenSecretRef": {"name": "keys"}}},
        {"podTemplate": {"env": [{"name": "OCR_SCRIPT", "value": "{}"}, {"name": "OTHER"}]}},
        {"probes": {"minBudgetSeconds": 3600}},
        {"limits": {"maxUploadBytes": 1}},
        {"limits": {"maxUploadBytes": "1Gi"}},
        {"s3": {"endpoint": "http://10.0.0.1:7070", "bucket": "a.b-c", "prefix": ""}},
        {"s3": {"endpoint": "http://[fd00::1]:7070/path", "bucket": "abc"}},
        {"image": {"repository": "ocr"}},
        {"replicas": 0},
    ],
    ids=str,
)
def test_what_is_right_is_not_refused(crd_api: Api, spec: Json) -> None:
    assert refusals(crd_api, service(spec)) == []


@pytest.mark.parametrize("name", ["a", "n" * 52, "invoices-2"])
def test_a_name_for_a_service_is_not_refused(crd_api: Api, name: str) -> None:
    assert refusals(crd_api, service({}, name=name)) == []


def test_what_is_not_set_stays_unset(stored: Json) -> None:
    assert stored["spec"] == {"model": {"name": "pp-ocr"}}
    assert "status" not in stored


def test_a_status_is_stored_as_written(crd_api: Api, stored: Json) -> None:
    assert write_status(crd_api, STATUS)["status"] == STATUS
    assert OcrServiceStatus.model_validate(STATUS).wire() == STATUS


def test_a_status_is_not_the_specs_business(crd_api: Api, stored: Json) -> None:
    body = {"spec": {"replicas": 2}, "status": {"replicas": 7}}
    live = crd_api.patch("ocrservices", NAMESPACE, "invoices", body)
    assert live["spec"]["replicas"] == 2
    assert "status" not in live
    assert live["metadata"]["generation"] == stored["metadata"]["generation"] + 1


def test_two_conditions_of_one_type_are_refused(crd_api: Api, stored: Json) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="Duplicate value"):
        write_status(crd_api, {"conditions": STATUS["conditions"] * 2})


def test_scale_writes_the_replicas_and_reads_the_pods(
    crd_api: Api, control_plane: Kube, stored: Json
) -> None:
    write_status(crd_api, STATUS)
    control_plane.kubectl("scale", "ocr", "invoices", f"--namespace={NAMESPACE}", "--replicas=3")
    assert crd_api.get("ocrservices", NAMESPACE, "invoices")["spec"]["replicas"] == 3
    path = f"{crd_api.path('ocrservices', NAMESPACE, 'invoices')}/scale"
    scale = json.loads(control_plane.kubectl("get", "--raw", path))
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 1, "selector": "app.kubernetes.io/instance=invoices"}


def test_the_list_shows_what_a_person_wants_to_know(
    crd_api: Api, control_plane: Kube, stored: Json
) -> None:
    write_status(crd_api, STATUS)
    shown = control_plane.kubectl("get", "ocrservices", f"--namespace={NAMESPACE}")
    header, row = (line.split() for line in shown.splitlines())
    assert header == [
        "NAME",
        "READY",
        "REASON",
        "REPLICAS",
        "MODEL",
        "INIT",
        "BUDGET",
        "URL",
        "AGE",
    ]
    assert row[:-1] == [
        *("invoices", "True", "Serving", "1/1", "paddleocr-vl-1.6", "38s", "2m33s"),
        "http://invoices.default.svc:8081",
    ]


def test_every_field_of_the_probes_is_explained(crd_api: Api, control_plane: Kube) -> None:
    shown = control_plane.kubectl("explain", "ocrservice.spec.probes")
    words = {
        name: " ".join(text.split())
        for name, text in re.findall(
            r"^  (\w+)\t<.*>.*\n(?:  enum: .*\n)?((?:    .*\n)+)", shown, re.MULTILINE
        )
    }
    assert set(words) == {
        *("mode", "falseKillProbability", "minBudgetSeconds", "maxBudgetSeconds"),
        *("startup", "liveness", "readiness"),
    }
    assert all(text.endswith(".") and len(text.split()) > 5 for text in words.values()), words


def test_a_profile_is_stored_as_written(crd_api: Api, control_plane: Kube) -> None:
    body = profile({"count": 12, "maxSeconds": 11})
    sample = {
        "containerID": "containerd://a",
        "startedAt": "2026-01-02T03:04:05Z",
        "seconds": 8.125,
        "source": "document",
        "resolution": 0.001,
        "phases": {"import": 0.5},
    }
    body["data"] = {"samples": [sample] * 200, "dropped": 1, "newestDropped": sample["startedAt"]}
    stored = crd_api.create("ocrstartupprofiles", NAMESPACE, body)
    assert (stored["spec"], stored["data"]) == (body["spec"], body["data"])
    written = OcrStartupProfile.model_validate(body).wire()
    assert written == {"spec": body["spec"], "data": body["data"]}
    shown = control_plane.kubectl("get", "ocrsp", f"--namespace={NAMESPACE}")
    assert shown.splitlines()[0].split() == [
        "NAME",
        "MODEL",
        "VERSION",
        "DEVICE",
        "CPU",
        "PRIOR",
        "AGE",
    ]
    crd_api.delete("ocrstartupprofiles", NAMESPACE, body["metadata"]["name"])


def test_a_profile_needs_no_prior(crd_api: Api) -> None:
    body = profile({})
    del body["spec"]["prior"]
    assert refusals(crd_api, body) == []


def test_more_samples_than_the_window_are_refused(crd_api: Api) -> None:
    sample = {
        "containerID": "a",
        "startedAt": "2026-01-02T03:04:05Z",
        "seconds": 1,
        "source": "pod",
    }
    body = profile({}) | {"data": {"samples": [sample] * 201}}
    fields = [refusal.field for refusal in refusals(crd_api, body)]
    assert "data.samples" in fields
