"""The only module that calls the API server for writes, and for the few reads that are not watches.

Paths are built here and bodies are plain JSON: the typed API classes of the client cost 118 MiB of
memory (measured: 183 MiB against 65), and each kind of child would be a method of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from ocr_operator.core.observed import ChildKind, Key
from ocr_operator.core.plan import API_VERSION, FIELD_MANAGER, Apply
from ocr_operator.runtime.errors import (
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    Retryable,
)
from ocr_operator.runtime.metrics import Metrics

log = logging.getLogger(__name__)

Json = dict[str, Any]

TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=5)
"""Seconds. An API server under load queues a request for up to a few seconds; one that does not
answer in fifteen has lost it, and a worker must not be held for longer."""
ATTEMPTS = 4
"""Within one call, for what a second later is over: a dropped connection, one 429, an API server
that is being replaced. What lasts longer is the work queue's."""
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
"""A longer Retry-After is handed to the work queue: the worker is free meanwhile."""
MESSAGE_CHARACTERS = 1024
"""Of the API server's message: it ends up in a condition."""

APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Resource:
    """Where objects of a kind are: `/apis/apps/v1` and `deployments`."""

    kind: str
    prefix: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Of the object, or of the collection without a name."""
        path = f"{self.prefix}/namespaces/{namespace}/{self.plural}"
        return f"{path}/{name}" if name else path


OCR_SERVICE = Resource("OcrService", f"/apis/{API_VERSION}", "ocrservices")
PROFILE = Resource("OcrStartupProfile", f"/apis/{API_VERSION}", "ocrstartupprofiles")
EVENT = Resource("Event", "/apis/events.k8s.io/v1", "events")
CHILDREN: Mapping[ChildKind, Resource] = {
    ChildKind.DEPLOYMENT: Resource("Deployment", "/apis/apps/v1", "deployments"),
    ChildKind.SERVICE: Resource("Service", "/api/v1", "services"),
}


class KubeApi:
    """Every call raises an `ApiError` unless it was accepted. Answers are objects as the API shows
    them."""

    def __init__(
        self,
        client: ApiClient,
        metrics: Metrics,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._pause = pause
        self._warned: set[str] = set()

    async def apply_child(self, key: Key, change: Apply) -> Json:
        """Server-side apply of a child. Without force it is a creation: a field that another
        manager set differently is a `Conflict`, so an object that appeared meanwhile is not taken
        over."""
        name = change.manifest["metadata"]["name"]
        path = CHILDREN[change.kind].path(key.namespace, name)
        return await self._apply(change.kind, path, change.manifest, force=change.force)

    async def apply_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> Json:
        """The whole status of an OcrService. With the uid, the successor of a deleted object of the
        same name is a `Conflict`."""
        manifest = {
            "apiVersion": API_VERSION,
            "kind": OCR_SERVICE.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
            "status": dict(status),
        }
        path = OCR_SERVICE.path(key.namespace, key.name) + "/status"
        return await self._apply("OcrService/status", path, manifest, force=True)

    async def apply_profile(self, manifest: Json) -> Json:
        """Create or update an OcrStartupProfile."""
        metadata = manifest["metadata"]
        path = PROFILE.path(metadata["namespace"], metadata["name"])
        return await self._apply(PROFILE.kind, path, manifest, force=True)

    async def delete_profile(self, metadata: Mapping[str, str]) -> None:
        """Delete an OcrStartupProfile as it was seen: one that was written since is a
        `Conflict`."""
        seen = {name: metadata[name] for name in ("uid", "resourceVersion")}
        path = PROFILE.path(metadata["namespace"], metadata["name"])
        await self._call("DELETE", path, body={"preconditions": seen})
        self._metrics.api_writes.labels("delete", PROFILE.kind).inc()

    async def create_event(self, manifest: Json) -> None:
        """An event; one that is there already was sent before its answer was lost."""
        path = EVENT.path(manifest["metadata"]["namespace"])
        try:
            await self._call("POST", path, body=manifest)
        except Conflict:
            return
        self._metrics.api_writes.labels("create", EVENT.kind).inc()

    async def find_child(self, kind: ChildKind, key: Key) -> Json | None:
        """The object of this kind with the service's name, whoever it belongs to; None when
        absent."""
        return await self._find(CHILDREN[kind].path(key.namespace, key.name))

    async def find_service(self, key: Key) -> Json | None:
        """The OcrService as it is now, past the cache."""
        return await self._find(OCR_SERVICE.path(key.namespace, key.name))

    async def namespace_ends(self, name: str) -> bool:
        """Whether the namespace is being deleted: nothing can be made in it any more."""
        body = await self._find(f"/api/v1/namespaces/{name}")
        return body is None or "deletionTimestamp" in body["metadata"]

    async def serves(self, *resources: Resource) -> bool:
        """Whether the API server knows these kinds (which are of one group and version)."""
        try:
            found = await self._call("GET", resources[0].prefix)
        except NotFound:
            return False
        return {r.plural for r in resources} <= {entry["name"] for entry in found["resources"]}

    async def _find(self, path: str) -> Json | None:
        try:
            return await self._call("GET", path)
        except NotFound:
            return None

    async def _apply(self, what: str, path: str, manifest: Json, *, force: bool) -> Json:
        query = [("fieldManager", FIELD_MANAGER), ("force", str(force).lower())]
        answer = await self._call("PATCH", path, query=query, body=manifest)
        self._metrics.api_writes.labels("apply", what).inc()
        return answer

    async def _call(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Json | None = None,
    ) -> Json:
        """Everything may be repeated as often as needed: a delete then finds nothing, and an event
        itself, because it is named."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(method, path, query, body)
            except Retryable as error:
                self._metrics.api_failures.labels(str(error.status)).inc()
                pause = max(error.after, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                if attempt == ATTEMPTS or pause > LONGEST_PAUSE_SECONDS:
                    raise
                log.debug("API call is repeated", extra={"path": path, "error": str(error)})
                await self._pause(pause * (1 + random.random() / 4))  # noqa: S311
            except ApiError as error:
                self._metrics.api_failures.labels(str(error.status)).inc()
                raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self, method: str, path: str, query: list[tuple[str, str]] | None, body: Json | None
    ) -> Json:
        content_type = APPLY_PATCH if method == "PATCH" else "application/json"
        verb, url, headers, payload, _ = await self._client.param_serialize(
            method,
            path,
            query_params=query,
            header_params={"Accept": "application/json", "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = await self._client.call_api(
                verb, url, headers, payload, _request_timeout=TIMEOUT
            )
            content = bytes(await answer.read())  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Retryable(f"no answer from the API server: {reason}") from error
        self._log_warnings(answer.headers.getall("Warning", []))
        if 200 <= answer.status < 300:
            return dict(json.loads(content))
        raise error_of(answer.status, content, answer.headers.get("Retry-After"))

    def _log_warnings(self, warnings: list[str]) -> None:
        """Each text once: a field the API server drops shows here and nowhere else."""
        for warning in warnings:
            if warning not in self._warned and len(self._warned) < 1000:
                self._warned.add(warning)
                log.warning("warning of the API server: %s", warning)


def error_of(status: int, content: bytes, retry_after: str | None) -> ApiError:
    """The error that an answer means."""
    message = _message(content) or f"HTTP {status}"
    match status:
        case 403:
            return Forbidden(message, status)
        case 404:
            return NotFound(message, status)
        case 409:
            return Conflict(message, status)
        # 401: the token was replaced a moment ago, and the client reads it again.
        case 401 | 408 | 429:
            return Retryable(message, status, _seconds(retry_after))
        case _ if status >= 500:
            return Retryable(message, status, _seconds(retry_after))
        case _:
            return Refused(message, status)


def _message(content: bytes) -> str:
    try:
        found = json.loads(content)
    except ValueError:
        found = content.decode(errors="replace")
    text = found.get("message", "") if isinstance(found, dict) else str(found)
    line = " ".join(str(text).split())
    return line if len(line) <= MESSAGE_CHARACTERS else line[: MESSAGE_CHARACTERS - 1] + "…"


def _seconds(retry_after: str | None) -> float:
    """Kubernetes sends whole seconds; a date, which HTTP also allows, counts as none."""
    return float(retry_after) if retry_after and retry_after.isdigit() else 0.0
