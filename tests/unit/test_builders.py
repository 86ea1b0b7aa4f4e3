"""Built objects, whole: what is written here is what is applied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes.aio.client import V1Deployment, V1Service
from objects import IMAGE_CPU, IMAGE_GPU, UID, resolved

from ocr_operator.core.builders.deployment import deployment
from ocr_operator.core.builders.environment import environment, grace_period
from ocr_operator.core.builders.pod import pod_template, resources
from ocr_operator.core.builders.service import service
from ocr_operator.core.builders.volumes import volumes
from ocr_operator.core.image import merged
from ocr_operator.core.template import (
    read_probes,
    readable,
    restarted_at,
    uses_gpu,
    without_numbers,
)
from ocr_operator.startup.probes import Probes, generate

PROBES: Probes = generate(38.1, 152.4, None)

SELECTOR = {"app.kubernetes.io/name": "ocr-service", "app.kubernetes.io/instance": "invoices"}
LABELS = {
    **SELECTOR,
    "app.kubernetes.io/managed-by": "ocr-operator",
    "app.kubernetes.io/component": "server",
    "app.kubernetes.io/part-of": "ocr-operator",
}
OWNER = {
    "apiVersion": "ocr-operator.dev/v1alpha1",
    "kind": "OcrService",
    "name": "invoices",
    "uid": UID,
    "controller": True,
}
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": LABELS},
    "spec": {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 140,
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "server",
                "image": IMAGE_CPU,
                "imagePullPolicy": "IfNotPresent",
                "ports": [{"name": "http", "containerPort": 8081, "protocol": "TCP"}],
                "env": [
                    {"name": "OCR_PORT", "value": "8081"},
                    {"name": "OCR_MODEL", "value": "pp-ocr"},
                    {"name": "OCR_MODEL_VERSION", "value": "6"},
                    {"name": "OCR_BACKEND", "value": "native"},
                    {"name": "OCR_DEVICE", "value": "cpu"},
                    {"name": "OCR_AUTH_MODE", "value": "None"},
                    {"name": "OCR_CACHE_DIR", "value": "/app/cache"},
                    {"name": "OCR_STARTUP_DIR", "value": "/etc/ocr/startup"},
                    {"name": "HOME", "value": "/tmp"},
                    {"name": "TMPDIR", "value": "/tmp"},
                    {"name": "OCR_HEARTBEAT_DEADLINE_S", "value": "38"},
                    {"name": "OCR_LAME_DUCK_S", "value": "10"},
                    {"name": "OCR_DRAIN_TIMEOUT_S", "value": "120"},
                ],
                "resources": {"requests": {"cpu": "250m", "memory": "768Mi"}},
                "startupProbe": {
                    "httpGet": {"path": "/startupz", "port": "http"},
                    "initialDelaySeconds": 0,
                    "periodSeconds": 2,
                    "timeoutSeconds": 2,
                    "failureThreshold": 78,
                    "successThreshold": 1,
                    "terminationGracePeriodSeconds": 5,
                },
                "readinessProbe": {
                    "httpGet": {"path": "/readyz", "port": "http"},
                    "initialDelaySeconds": 0,
                    "periodSeconds": 2,
                    "timeoutSeconds": 2,
                    "failureThreshold": 3,
                    "successThreshold": 1,
                },
                "livenessProbe": {
                    "httpGet": {"path": "/livez", "port": "http"},
                    "initialDelaySeconds": 0,
                    "periodSeconds": 5,
                    "timeoutSeconds": 5,
                    "failureThreshold": 3,
                    "successThreshold": 1,
                    "terminationGracePeriodSeconds": 10,
                },
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},
                    {"name": "cache", "mountPath": "/app/cache"},
                    {"name": "startup", "mountPath": "/etc/ocr/startup", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}},
            {"name": "cache", "emptyDir": {"sizeLimit": "8Gi"}},
            {"name": "startup", "configMap": {"name": "invoices-startup", "optional": True}},
        ],
    },
}


def test_the_smallest_template() -> None:
    assert pod_template(resolved(), PROBES) == TEMPLATE


def test_the_deployment() -> None:
    built = deployment(resolved(), TEMPLATE, {"ocr-operator.dev/input-hash": "f00"})
    applied = built["metadata"]["annotations"].pop("ocr-operator.dev/applied-hash")
    assert len(applied) == 16
    assert built == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "invoices",
            "namespace": "team-a",
            "labels": LABELS,
            "annotations": {"ocr-operator.dev/input-hash": "f00"},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": 600 + 231,
            "minReadySeconds": 0,
            "selector": {"matchLabels": SELECTOR},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": TEMPLATE,
        },
    }


def test_the_service() -> None:
    built = service(resolved())
    del built["metadata"]["annotations"]["ocr-operator.dev/applied-hash"]
    assert built == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "invoices",
            "namespace": "team-a",
            "labels": LABELS,
            "annotations": {},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "type": "ClusterIP",
            "selector": SELECTOR,
            "ports": [{"name": "http", "port": 8081, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def test_a_service_as_a_person_wants_it() -> None:
    wanted = {"type": "LoadBalancer", "port": 80, "annotations": {"example.org/a": "b"}}
    built = service(resolved(service=wanted, auth={"mode": "None"}))
    assert built["spec"]["type"] == "LoadBalancer"
    assert built["spec"]["ports"][0]["port"] == 80
    assert built["metadata"]["annotations"]["example.org/a"] == "b"
    assert resolved(service=wanted).url == "http://invoices.team-a.svc:80"


EVERYTHING: dict[str, Any] = {
    "image": {"repository": "mine/ocr", "tag": "2", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 3,
    "resources": {"requests": {"cpu": 4, "memory": "8Gi"}, "limits": {"cpu": "8"}},
    "gpu": {"count": 2, "resourceName": "amd.com/gpu"},
    "nodeSelector": {"disk": "ssd", "kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 3}],
    "auth": {"tokenSecretRef": {"name": "invoices-keys"}},
    "s3": {
        "endpoint": "https://s3.example.org",
        "bucket": "results",
        "prefix": "invoices/",
        "region": "eu",
        "credentialsSecretRef": {"name": "s3-credentials"},
    },
    "output": {"persistentVolumeClaim": {"claimName": "results"}},
    "cache": {"persistentVolumeClaim": {"claimName": "models"}},
    "limits": {
        "maxUploadBytes": "50Mi",
        "maxPagesSync": 10,
        "maxPagesAsync": 20,
        "maxPixels": 30,
        "queueMaxPages": 40,
    },
    "podTemplate": {
        "labels": {"team": "a"},
        "annotations": {"example.org/b": "c"},
        "env": [
            {"name": "OCR_SCRIPT", "value": "{}"},
            {"name": "OCR_DRAIN_TIMEOUT_S", "value": "30"},
            {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "serviceAccountName": "robot",
    },
}


def test_everything_a_person_can_set() -> None:
    built = pod_template(resolved(**EVERYTHING), PROBES)
    (server,) = built["spec"].pop("containers")
    assert built == {
        "metadata": {"labels": {"team": "a", **LABELS}, "annotations": {"example.org/b": "c"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "serviceAccountName": "robot",
            "terminationGracePeriodSeconds": 50,
            "nodeSelector": {"kubernetes.io/arch": "arm64", "disk": "ssd"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 3}],
            "imagePullSecrets": [{"name": "registry"}],
            "securityContext": TEMPLATE["spec"]["securityContext"],
            "volumes": [
                {"name": "tmp", "emptyDir": {"sizeLimit": "4Gi"}},
                {"name": "cache", "persistentVolumeClaim": {"claimName": "models"}},
                {"name": "startup", "configMap": {"name": "invoices-startup", "optional": True}},
                {"name": "output", "persistentVolumeClaim": {"claimName": "results"}},
                {
                    "name": "keys",
                    "secret": {"secretName": "invoices-keys", "optional": True, "defaultMode": 288},
                },
                {
                    "name": "s3",
                    "secret": {
                        "secretName": "s3-credentials",
                        "optional": True,
                        "defaultMode": 288,
                    },
                },
            ],
        },
    }
    assert (server["image"], server["imagePullPolicy"]) == ("mine/ocr:2", "Always")
    assert server["resources"] == {
        "requests": {"cpu": "4", "memory": "8Gi"},
        "limits": {"amd.com/gpu": "2", "cpu": "8"},
    }
    assert server["volumeMounts"][3:] == [
        {"name": "output", "mountPath": "/app/output"},
        {"name": "keys", "mountPath": "/etc/ocr/keys", "readOnly": True},
        {"name": "s3", "mountPath": "/etc/ocr/s3", "readOnly": True},
    ]
    env = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in server["env"]}
    assert env == {
        "OCR_PORT": "8081",
        "OCR_MODEL": "pp-ocr",
        "OCR_MODEL_VERSION": "6",
        "OCR_BACKEND": "native",
        "OCR_DEVICE": "gpu:0",
        "OCR_AUTH_MODE": "Token",
        "OCR_KEYS_DIR": "/etc/ocr/keys",
        "OCR_OUTPUT_DIR": "/app/output",
        "OCR_CACHE_DIR": "/app/cache",
        "OCR_STARTUP_DIR": "/etc/ocr/startup",
        "HOME": "/tmp",
        "TMPDIR": "/tmp",
        "OCR_S3_ENDPOINT": "https://s3.example.org",
        "OCR_S3_BUCKET": "results",
        "OCR_S3_PREFIX": "invoices/",
        "OCR_S3_REGION": "eu",
        "OCR_S3_CREDENTIALS_DIR": "/etc/ocr/s3",
        "OCR_MAX_UPLOAD_BYTES": "52428800",
        "OCR_MAX_PAGES_SYNC": "10",
        "OCR_MAX_PAGES_ASYNC": "20",
        "OCR_MAX_PIXELS": "30",
        "OCR_QUEUE_MAX_PAGES": "40",
        "OCR_HEARTBEAT_DEADLINE_S": "38",
        "OCR_LAME_DUCK_S": "10",
        "OCR_SCRIPT": "{}",
        "OCR_DRAIN_TIMEOUT_S": "30",
        "FROM": {"secretKeyRef": {"name": "s", "key": "k"}},
    }


@pytest.mark.parametrize("fields", [{}, EVERYTHING], ids=["smallest", "everything"])
def test_kubernetes_own_models_know_every_field(fields: dict[str, Any]) -> None:
    owner = resolved(**fields)
    built = deployment(owner, pod_template(owner, PROBES), {})
    V1Deployment.model_validate(json.loads(json.dumps(built)))
    V1Service.model_validate(service(owner))


def test_a_gpu_service_is_replaced_without_surge() -> None:
    owner = resolved("paddleocr-vl", replicas=2)
    built = deployment(owner, pod_template(owner, PROBES), {})["spec"]
    assert built["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert built["progressDeadlineSeconds"] == 600 + 140 + 231
    assert built["minReadySeconds"] == 2
    server = built["template"]["spec"]["containers"][0]
    assert server["image"] == IMAGE_GPU
    assert server["resources"] == {
        "requests": {"cpu": "4", "memory": "16Gi"},
        "limits": {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "1"},
    }


def test_no_gpu_means_cpu() -> None:
    owner = resolved("paddleocr-vl", gpu={"count": 0})
    template = pod_template(owner, PROBES)
    assert not uses_gpu(template)
    assert {"name": "OCR_DEVICE", "value": "cpu"} in template["spec"]["containers"][0]["env"]
    assert owner.surge


@pytest.mark.parametrize(
    ("wanted", "requests", "limits"),
    [
        ({"requests": {"cpu": "10"}}, "10", "10"),
        ({"limits": {"cpu": "2"}}, "2", "2"),
        ({"requests": {"cpu": "500m"}}, "500m", "8"),
        ({"requests": {"cpu": "3"}, "limits": {"cpu": "6"}}, "3", "6"),
    ],
)
def test_the_side_a_person_did_not_set_gives_way(
    wanted: dict[str, Any], requests: str, limits: str
) -> None:
    built = resources(resolved("paddleocr-vl", resources=wanted))
    assert (built["requests"]["cpu"], built["limits"]["cpu"]) == (requests, limits)


@pytest.mark.parametrize(
    ("installed", "wanted", "reference"),
    [
        ("r/a:1", {}, "r/a:1"),
        ("r/a:1", {"tag": "2"}, "r/a:2"),
        ("r/a:1", {"repository": "mirror/a"}, "mirror/a:1"),
        ("r/a:1@sha256:b", {"tag": "2"}, "r/a:2"),
        ("r/a:1@sha256:b", {"repository": "mirror/a"}, "mirror/a@sha256:b"),
        ("r/a:1", {"digest": "sha256:c"}, "r/a@sha256:c"),
        ("r/a:1", {"tag": "2", "digest": "sha256:c"}, "r/a@sha256:c"),
        ("", {"repository": "mine"}, "mine"),
    ],
)
def test_an_image_is_merged_field_by_field(
    installed: str, wanted: dict[str, str], reference: str
) -> None:
    spec = resolved(image=wanted).spec.image if wanted else None
    assert merged(installed, spec).reference == reference


@pytest.mark.parametrize(
    ("env", "grace"),
    [
        ([{"name": "OCR_DRAIN_TIMEOUT_S", "value": "300"}], 320),
        ([{"name": "OCR_LAME_DUCK_S", "value": "2.5"}], 133),
        ([{"name": "OCR_DRAIN_TIMEOUT_S", "value": "soon"}], 140),
        ([{"name": "OCR_DRAIN_TIMEOUT_S", "value": "-1"}], 140),
        ([{"name": "OCR_DRAIN_TIMEOUT_S", "value": "inf"}], 140),
        ([{"name": "OCR_SYNC_TIMEOUT_S", "value": "60"}], 140),
        ([{"name": "OCR_SYNC_TIMEOUT_S", "value": "299.5"}], 320),
        ([{"name": "OCR_SYNC_TIMEOUT_S", "value": "soon"}], 140),
        (
            [
                {"name": "OCR_SYNC_TIMEOUT_S", "value": "300"},
                {"name": "OCR_DRAIN_TIMEOUT_S", "value": "30"},
            ],
            50,
        ),
    ],
)
def test_the_pods_grace_follows_the_times_a_person_set(
    env: list[dict[str, str]], grace: int
) -> None:
    owner = resolved(podTemplate={"env": env})
    assert grace_period(owner) == grace
    names = [entry["name"] for entry in environment(owner, PROBES)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("timeout", "drain"), [("60", "120"), ("299.5", "300")])
def test_a_drain_that_is_not_given_is_as_long_as_a_request(timeout: str, drain: str) -> None:
    owner = resolved(podTemplate={"env": [{"name": "OCR_SYNC_TIMEOUT_S", "value": timeout}]})
    assert {"name": "OCR_DRAIN_TIMEOUT_S", "value": drain} in environment(owner, PROBES)


def test_a_name_the_operator_sets_stays_the_operators() -> None:
    owner = resolved(podTemplate={"env": [{"name": "OCR_MODEL", "value": "mine"}]})
    entries = [e for e in environment(owner, PROBES) if e["name"] == "OCR_MODEL"]
    assert entries == [{"name": "OCR_MODEL", "value": "pp-ocr"}]


def test_every_mount_has_its_volume() -> None:
    owner = resolved(**EVERYTHING)
    server = pod_template(owner, PROBES)["spec"]["containers"][0]
    mounted = [mount["name"] for mount in server["volumeMounts"]]
    assert mounted == [volume["name"] for volume in volumes(owner)]


def test_a_template_can_be_read_back() -> None:
    probes = read_probes(TEMPLATE)
    assert (probes.startup, probes.readiness, probes.liveness) == (
        PROBES.startup,
        PROBES.readiness,
        PROBES.liveness,
    )
    assert readable(TEMPLATE)
    assert restarted_at(TEMPLATE) == ""
    assert without_numbers(TEMPLATE) == without_numbers(
        pod_template(resolved(), generate(2, 60, None))
    )


@pytest.mark.parametrize(
    "broken",
    [None, 7, {}, {"spec": {}}, {"spec": {"containers": []}}, {"spec": {"containers": [7]}}],
)
def test_what_is_no_template_is_not_read(broken: Any) -> None:
    assert not readable(broken)
