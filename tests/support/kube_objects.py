"""Objects as the API server shows them, for tests of what reads them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

LABELS = {
    "app.kubernetes.io/name": "ocr-service",
    "app.kubernetes.io/instance": "invoices",
    "app.kubernetes.io/managed-by": "ocr-operator",
}
CONTAINER_ID = "containerd://" + "c" * 64
IMAGE_ID = "registry.test/ocr@sha256:" + "d" * 64


def ocr_service(version: int = 1, **spec: Any) -> Json:
    """The smallest OcrService, with what is added to its spec."""
    return {
        "apiVersion": "ocr-operator.dev/v1alpha1",
        "kind": "OcrService",
        "metadata": {
            "name": "invoices",
            "namespace": "team-a",
            "uid": "service-uid",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": "2026-11-01T10:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"model": {"name": "pp-ocr"}, **spec},
    }


def deployment(version: int = 1, uid: str = "deployment-uid", **metadata: Any) -> Json:
    """A Deployment that is controlled by `ocr_service`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "invoices",
            "namespace": "team-a",
            "uid": uid,
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": "2026-11-01T10:00:01Z",
            "labels": LABELS,
            "managedFields": [{"manager": "ocr-operator", "fieldsV1": {"f:spec": {}}}],
            "ownerReferences": [
                {"kind": "Thing", "name": "other", "uid": "other-uid"},
                {
                    "apiVersion": "ocr-operator.dev/v1alpha1",
                    "kind": "OcrService",
                    "name": "invoices",
                    "uid": "service-uid",
                    "controller": True,
                },
            ],
            **metadata,
        },
        "spec": {"replicas": 1},
        "status": {"replicas": 1},
    }


def pod(version: int = 1, **status: Any) -> Json:
    """A pod of `ocr_service` with a server that is ready; `status` replaces parts of its status."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "invoices-7d4f9-x2x2x",
            "namespace": "team-a",
            "uid": "pod-uid",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-01T10:00:02Z",
            "labels": {**LABELS, "pod-template-hash": "7d4f9"},
            "annotations": {
                "kubectl.kubernetes.io/restartedAt": "2026-11-01T09:59:00Z",
                "k8s.v1.cni.cncf.io/network-status": "[a long document]",
            },
        },
        "spec": {
            "containers": [
                {"name": "sidecar", "image": "registry.test/sidecar:1"},
                {
                    "name": "server",
                    "image": "registry.test/ocr:1.6",
                    "startupProbe": {"periodSeconds": 2},
                    "resources": {"requests": {"cpu": "250m"}, "limits": {"cpu": "2"}},
                },
            ]
        },
        "status": {
            "phase": "Running",
            "podIP": "198.18.0.7",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {
                    "type": "ContainersReady",
                    "status": "True",
                    "lastTransitionTime": "2026-11-01T10:00:12Z",
                },
            ],
            "containerStatuses": [server_status()],
            **status,
        },
    }


def server_status(**changes: Any) -> Json:
    """The status of the container `server`."""
    return {
        "name": "server",
        "imageID": IMAGE_ID,
        "containerID": CONTAINER_ID,
        "restartCount": 0,
        "started": True,
        "ready": True,
        "state": {"running": {"startedAt": "2026-11-01T10:00:05Z"}},
        **changes,
    }
