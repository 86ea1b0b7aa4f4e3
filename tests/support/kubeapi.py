"""A plain client of the API server for tests: JSON in, JSON out."""

from __future__ import annotations

import base64
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

T = TypeVar("T")
Json = dict[str, Any]

PATHS = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "secrets": "/api/v1",
    "configmaps": "/api/v1",
    "nodes": "/api/v1",
    "namespaces": "/api/v1",
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "events": "/apis/events.k8s.io/v1",
    "ocrservices": "/apis/ocr-operator.dev/v1alpha1",
    "ocrstartupprofiles": "/apis/ocr-operator.dev/v1alpha1",
}


class Api:
    """Errors of the server raise `httpx.HTTPStatusError` with its answer as the message."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        user = config["users"][0]["user"]
        context = ssl.create_default_context(cadata=_decode(cluster, "certificate-authority"))
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder, "pair.pem")
            pair.write_text(_decode(user, "client-certificate") + _decode(user, "client-key"))
            context.load_cert_chain(pair)
        self.http = httpx.Client(
            base_url=cluster["server"], verify=context, trust_env=False, timeout=30
        )

    @staticmethod
    def path(plural: str, namespace: str | None = None, name: str | None = None) -> str:
        path = PATHS[plural]
        if namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{plural}"
        return f"{path}/{name}" if name else path

    def get(self, plural: str, namespace: str | None, name: str) -> Json:
        return self._json(self.http.get(self.path(plural, namespace, name)))

    def find(self, plural: str, namespace: str | None, name: str) -> Json | None:
        answer = self.http.get(self.path(plural, namespace, name))
        return None if answer.status_code == httpx.codes.NOT_FOUND else self._json(answer)

    def list(self, plural: str, namespace: str | None = None, selector: str = "") -> list[Json]:
        parameters = {"labelSelector": selector} if selector else {}
        answer = self.http.get(self.path(plural, namespace), params=parameters)
        return list(self._json(answer)["items"])

    def create(self, plural: str, namespace: str | None, body: Json) -> Json:
        return self._json(self.http.post(self.path(plural, namespace), json=body))

    def patch(
        self,
        plural: str,
        namespace: str | None,
        name: str,
        body: Json | list[Json],
        subresource: str = "",
    ) -> Json:
        """A JSON merge patch, or a JSON patch when `body` is a list."""
        kind = "json-patch+json" if isinstance(body, list) else "merge-patch+json"
        answer = self.http.patch(
            self.path(plural, namespace, name) + (f"/{subresource}" if subresource else ""),
            json=body,
            headers={"Content-Type": f"application/{kind}"},
            params={"fieldManager": "a-person"},
        )
        return self._json(answer)

    def delete(self, plural: str, namespace: str | None, name: str) -> None:
        self.http.delete(self.path(plural, namespace, name)).raise_for_status()

    @staticmethod
    def _json(answer: httpx.Response) -> Json:
        if answer.is_error:
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        return dict(answer.json())


def _decode(entry: Json, name: str) -> str:
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"]).decode()
    return Path(entry[name]).read_text()


def wait_for(what: str, look: Callable[[], T], timeout: float = 60, every: float = 0.2) -> T:
    """Call `look` until it returns something true, and return that. Raises `AssertionError`."""
    end = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:.0f} s: {what}; last seen: {found!r}")
        time.sleep(every)
    return found


def condition(body: Json, kind: str) -> Json:
    """One condition of an object's status, with empty strings where it is absent."""
    for entry in body.get("status", {}).get("conditions", []):
        if entry["type"] == kind:
            return dict(entry)
    return {"type": kind, "status": "", "reason": "", "message": ""}
