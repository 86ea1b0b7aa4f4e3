"""The Service in front of the pods."""

from __future__ import annotations

from typing import Any

from ocr_operator.core.builders.labels import selector_labels
from ocr_operator.core.builders.owner import child_metadata, sealed
from ocr_operator.core.builders.pod import PORT_NAME
from ocr_operator.core.resolve import Resolved


def service(owner: Resolved) -> dict[str, Any]:
    """What a load balancer or the API server adds (nodePort, clusterIP, addresses) is not named
    here and stays theirs."""
    spec = owner.spec.service
    annotations = dict((spec.annotations if spec else None) or {})
    return sealed(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": child_metadata(owner, annotations),
            "spec": {
                "type": (spec.type if spec else None) or "ClusterIP",
                "selector": selector_labels(owner.key.name),
                "ports": [
                    {
                        "name": PORT_NAME,
                        "port": owner.service_port,
                        "protocol": "TCP",
                        "targetPort": PORT_NAME,
                    }
                ],
            },
        }
    )
