"""Metadata that every child has."""

from __future__ import annotations

from typing import Any

from ocr_operator.core.actions import API_VERSION
from ocr_operator.core.builders.labels import APPLIED_HASH, common_labels
from ocr_operator.core.canonical import digest
from ocr_operator.core.resolve import Resolved


def child_metadata(owner: Resolved, annotations: dict[str, str]) -> dict[str, Any]:
    """Name, labels and the owner reference by which Kubernetes itself cleans up. It does not block
    the owner's deletion: that would need the right to change the owner's finalizers."""
    return {
        "name": owner.key.name,
        "namespace": owner.key.namespace,
        "labels": common_labels(owner.key.name),
        "annotations": annotations,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "OcrService",
                "name": owner.key.name,
                "uid": owner.uid,
                "controller": True,
            }
        ],
    }


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its own hash among the annotations."""
    metadata = manifest["metadata"]
    annotations = {**metadata["annotations"], APPLIED_HASH: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}
