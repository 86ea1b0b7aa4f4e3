"""kopf as the informer: which kinds are watched, and the handlers, which only remember and enqueue.

kopf writes nothing: `on.event` handlers need neither finalizers nor annotations. It drops their
errors and repeats nothing, so nothing that can fail for long is done in them.

kopf's indexes would also hold the handlers back until every kind is listed, but at a price that
grows with the square of the objects: every object that is indexed wakes every object that waits. A
restart with 1,000 OcrServices took more than a minute, and takes 14 s without them (kopf 1.45.2,
two cores). The workers wait instead, for `WatchMonitor.filled`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import kopf

from ocr_operator.api.v1alpha1 import GROUP, VERSION
from ocr_operator.core.observed import ChildKind, Key
from ocr_operator.runtime.apply import CHILDREN
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.runtime.views import pod_key, version_of
from ocr_operator.runtime.watches import WatchMonitor
from ocr_operator.runtime.workqueue import WorkQueue
from ocr_operator.settings import Settings

Body = Mapping[str, Any]

OURS = "app.kubernetes.io/managed-by=ocr-operator"
"""Selected by the API server: without it every pod of the cluster would be streamed and parsed."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One kind: how an object is remembered, forgotten, and which OcrService it concerns, if
    any."""

    group: str
    version: str
    plural: str
    put: Callable[[Body], None]
    drop: Callable[[str, int], None]
    sweep: Callable[[float, str | None], set[Key]]
    key: Callable[[Body], Key | None]
    labels: str = ""
    fields: str = ""

    def see(self, type_: str | None, body: Body, enqueue: Callable[[Key], None]) -> None:
        """Take one watch event; its type is None while objects are listed."""
        if type_ == "DELETED":
            self.drop(body["metadata"]["uid"], version_of(body))
        else:
            self.put(body)
        key = self.key(body)
        if key is not None:
            enqueue(key)


def watched_kinds(cache: Cache, profiles: ProfileStore, settings: Settings) -> tuple[Watched, ...]:
    """Everything the operator watches."""
    services, pods = cache.services, cache.pods
    return (
        Watched(
            GROUP, VERSION, "ocrservices", cache.put_service, services.drop, services.sweep, own_key
        ),
        # Only the operator's own namespace counts. A second watch of another scope in one process
        # is not to be had from kopf, but the API server can narrow this one.
        Watched(
            GROUP,
            VERSION,
            "ocrstartupprofiles",
            profiles.put,
            profiles.drop,
            profiles.sweep,
            key=lambda _: None,
            fields=f"metadata.namespace={settings.namespace}",
        ),
        *(_child(cache, kind) for kind in ChildKind),
        Watched("", "v1", "pods", cache.put_pod, pods.drop, pods.sweep, pod_key, labels=OURS),
    )


def own_key(body: Body) -> Key:
    """An OcrService, and a child, which has its service's name."""
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def register(
    registry: kopf.OperatorRegistry,
    kinds: tuple[Watched, ...],
    queue: WorkQueue[Key],
    watches: WatchMonitor,
) -> None:
    """One handler for each kind."""
    for kind in kinds:
        resource = (kind.group, kind.version, kind.plural)
        on_event = kopf.on.event(*resource, id=f"{kind.plural}-seen", registry=registry)
        on_event(partial(_seen, kind, queue, watches))


async def _seen(
    kind: Watched,
    queue: WorkQueue[Key],
    watches: WatchMonitor,
    type: str | None,
    body: kopf.Body,
    **_: Any,
) -> None:
    try:
        kind.see(type, body, queue.add)
    finally:
        watches.event_handled(initial=type is None)


def _child(cache: Cache, kind: ChildKind) -> Watched:
    store, resource = cache.children[kind], CHILDREN[kind]
    _, *group, version = resource.prefix.strip("/").split("/")
    return Watched(
        group="".join(group),
        version=version,
        plural=resource.plural,
        put=partial(cache.put_child, kind),
        drop=store.drop,
        sweep=store.sweep,
        key=own_key,
        labels=OURS,
    )
