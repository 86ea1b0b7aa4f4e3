"""Whether a live object already is what we want, in spite of all that the API server adds to it.

Only what is desired is compared: defaults, status and other managers' fields are not ours. Lists
that server-side apply merges by key are compared by that key, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocr_operator.core import quantity

LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "ports": ("containerPort", "port"),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists that are maps for server-side apply, with what tells their entries apart. Of `ports` a
container's have containerPort and a Service's have port; a missing one counts as equal."""
ATOMIC_MAPS = frozenset({"nodeSelector", "selector"})
"""Maps that server-side apply replaces whole: an entry more is a difference, and goes."""
QUANTITIES = ("requests", "limits", "sizeLimit")
"""Fields whose strings the API server rewrites: `1000m` comes back as `1`."""


def difference(live: Any, desired: Any) -> str | None:
    """Path of the first thing desired that the live object has not, None when it has everything."""
    return _compare(live, desired, ())


def contains(live: Any, desired: Any) -> bool:
    """Whether the live object has everything that is desired."""
    return difference(live, desired) is None


def _compare(live: Any, desired: Any, path: tuple[str, ...]) -> str | None:
    if isinstance(desired, Mapping) and (isinstance(live, Mapping) or live is None):
        return _compare_maps(live or {}, desired, path)
    if isinstance(desired, list | tuple) and (isinstance(live, list) or live is None):
        return _compare_lists(live or [], desired, path)
    return None if _equal(live, desired, path) else ".".join(path)


def _compare_maps(
    live: Mapping[str, Any], desired: Mapping[str, Any], path: tuple[str, ...]
) -> str | None:
    if path and path[-1] in ATOMIC_MAPS and not live.keys() <= desired.keys():
        return ".".join(path)
    found = (_compare(live.get(name), want, (*path, name)) for name, want in desired.items())
    return next((different for different in found if different is not None), None)


def _compare_lists(live: list[Any], desired: Sequence[Any], path: tuple[str, ...]) -> str | None:
    keys = LIST_KEYS.get(path[-1]) if path else None
    if keys is not None:
        return _compare_by_key(live, desired, keys, path)
    if len(live) != len(desired):
        return ".".join(path)
    pairs = enumerate(zip(live, desired, strict=True))
    found = (_compare(have, want, (*path, str(index))) for index, (have, want) in pairs)
    return next((different for different in found if different is not None), None)


def _compare_by_key(
    live: list[Any], desired: Sequence[Any], keys: tuple[str, ...], path: tuple[str, ...]
) -> str | None:
    by_key = {_identity(entry, keys): entry for entry in live if isinstance(entry, Mapping)}
    for want in desired:
        identity = _identity(want, keys)
        label = f"{path[-1]}[{next(filter(None, identity), '')}]"
        have = by_key.get(identity)
        if have is None:
            return ".".join((*path[:-1], label))
        different = _compare(have, want, (*path[:-1], label))
        if different is not None:
            return different
    return None


def _identity(entry: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(entry.get(key, "")) for key in keys)


def _equal(live: Any, desired: Any, path: tuple[str, ...]) -> bool:
    if live == desired and isinstance(live, bool) == isinstance(desired, bool):
        return True
    # The API server leaves zero values out of what it stores: `value: ""` is an absent value.
    if live is None:
        return not desired
    is_quantity = any(part in QUANTITIES for part in path[-2:])
    return is_quantity and quantity.same(str(live), str(desired))
