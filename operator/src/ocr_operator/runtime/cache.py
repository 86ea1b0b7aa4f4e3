"""What the watches have seen, and what our own writes were answered, trimmed and by OcrService.

kopf's indexes are not used as the store, because an object that vanishes while a watch is
interrupted stays in them for ever: after a new listing kopf tells what is there, never what is
gone. `sweep` closes that gap (see `watches`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ocr_operator.core.observed import (
    ChildKind,
    DocumentReading,
    Key,
    LiveChild,
    Observed,
    PodView,
    ServiceView,
)
from ocr_operator.runtime.views import (
    Packed,
    pack_child,
    pack_service,
    pod_key,
    read_pod,
    unpack_child,
    unpack_service,
    version_of,
)
from ocr_operator.startup.profile import Profile

T = TypeVar("T")
Body = Mapping[str, Any]

GONE_REMEMBERED = 4096
"""Deleted objects that are remembered so that the late answer of a write cannot bring one back."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    key: Key
    version: int
    item: T
    seen: float


class Store(Generic[T]):
    """Objects of one kind by uid, and by the OcrService they belong to. The newest version wins, so
    the answer of a write holds until the watch has caught up with it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry[T]] = {}
        self._by_key: dict[Key, set[str]] = {}
        self._gone: dict[str, int] = {}
        """By uid, the version of the deletion."""

    def put(self, uid: str, key: Key, version: int, item: T) -> None:
        """See the object."""
        if uid in self._gone:
            if version <= self._gone[uid]:
                return
            del self._gone[uid]
        known = self._entries.get(uid)
        if known is not None and known.version > version:
            known.seen = self._clock()
            return
        if known is not None and known.key != key:
            self._by_key[known.key].discard(uid)
        self._entries[uid] = _Entry(key, version, item, self._clock())
        self._by_key.setdefault(key, set()).add(uid)

    def drop(self, uid: str, version: int) -> None:
        """The object was deleted, or has lost the label the watch selects by: it is the same
        object, with a later version, when it has got that back."""
        known = self._entries.get(uid)
        if known is not None and known.version > version:
            return
        self._gone[uid] = version
        if len(self._gone) > GONE_REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._remove(uid)

    def get(self, key: Key) -> list[T]:
        """Objects of the OcrService."""
        return [self._entries[uid].item for uid in sorted(self._by_key.get(key, ()))]

    def keys(self) -> list[Key]:
        """OcrServices that have objects here."""
        return list(self._by_key)

    def items(self) -> Iterable[T]:
        """All objects."""
        return (entry.item for entry in self._entries.values())

    def sweep(self, before: float, namespace: str | None) -> set[Key]:
        """Forget what was last seen before that time, in the namespace or, with None, in all.
        Returns the OcrServices this concerns. What is seen again later comes back."""
        stale = {
            uid: entry.key
            for uid, entry in self._entries.items()
            if entry.seen < before and namespace in (None, entry.key.namespace)
        }
        for uid in stale:
            self._remove(uid)
        return set(stale.values())

    def __len__(self) -> int:
        return len(self._entries)

    def _remove(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is None:
            return
        uids = self._by_key[entry.key]
        uids.discard(uid)
        if not uids:
            del self._by_key[entry.key]


class Cache:
    """The stores, and the one view of them that a reconcile gets."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.services: Store[Packed] = Store(clock)
        self.children: Mapping[ChildKind, Store[Packed]] = {
            kind: Store(clock) for kind in ChildKind
        }
        self.pods: Store[PodView] = Store(clock)

    def put_service(self, body: Body) -> None:
        """See an OcrService, from a watch or as the answer to a write."""
        packed = pack_service(body)
        self.services.put(packed.uid, packed.key, packed.version, packed)

    def put_child(self, kind: ChildKind, body: Body) -> None:
        """See a child, from a watch or as the answer to a write."""
        packed = pack_child(body)
        self.children[kind].put(packed.uid, packed.key, packed.version, packed)

    def put_pod(self, body: Body) -> None:
        """See a pod; one without our instance label belongs to nothing."""
        key = pod_key(body)
        if key is not None:
            self.pods.put(body["metadata"]["uid"], key, version_of(body), read_pod(body))

    def service(self, key: Key) -> ServiceView | None:
        """The OcrService."""
        packed = _newest(self.services.get(key))
        return unpack_service(packed) if packed else None

    def observe(
        self,
        service: ServiceView,
        lookups: Mapping[ChildKind, LiveChild | None],
        readings: Mapping[str, DocumentReading],
        profiles: tuple[Profile, ...],
        refusals: Mapping[ChildKind, str],
    ) -> Observed:
        """Everything about the OcrService."""
        children = {}
        for kind, store in self.children.items():
            if (packed := _newest(store.get(service.key))) is not None:
                children[kind] = unpack_child(kind, packed)
        pods = sorted(self.pods.get(service.key), key=lambda pod: (pod.created_at, pod.name))
        return Observed(
            service=service,
            children=children,
            lookups=lookups,
            pods=tuple(pods),
            readings={
                pod.container_id: readings[pod.container_id]
                for pod in pods
                if pod.container_id in readings
            },
            profiles=profiles,
            refusals=refusals,
        )


def _newest(objects: list[Packed]) -> Packed | None:
    """Of one name: while an object is replaced its predecessor may still be here."""
    return max(objects, key=lambda packed: (packed.created, packed.version), default=None)
