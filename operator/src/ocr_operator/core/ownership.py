"""Whose the objects of a service's name are, and so what may be done to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ocr_operator.core.builders.labels import ADOPT, selector_labels
from ocr_operator.core.observed import ChildKind, LiveChild, Observed, ServiceView


@dataclass(frozen=True, slots=True)
class Holdings:
    """Every kind is in exactly one of these."""

    ours: dict[ChildKind, LiveChild] = field(default_factory=dict)
    missing: tuple[ChildKind, ...] = ()
    """Not there: to be made."""
    adopted: dict[ChildKind, LiveChild] = field(default_factory=dict)
    """Nobody's, and the person said that we may have it."""
    conflicts: dict[ChildKind, str] = field(default_factory=dict)
    """Somebody's, with the sentence that says so: not to be touched."""
    leaving: tuple[ChildKind, ...] = ()
    """Being deleted: to be made again when it is gone."""
    unknown: tuple[ChildKind, ...] = ()
    """Not in the cache: to be looked up."""

    @property
    def live(self) -> dict[ChildKind, LiveChild]:
        """Those that are ours, or about to be."""
        return {**self.ours, **self.adopted}


def survey(observed: Observed) -> Holdings:
    """Look at each kind once. An object without our label is not in the cache, so what is missing
    there is looked up by name."""
    ours, adopted, conflicts = {}, {}, {}
    missing, leaving, unknown = [], [], []
    for kind in ChildKind:
        live = observed.children.get(kind)
        if live is None:
            if kind not in observed.lookups:
                unknown.append(kind)
                continue
            live = observed.lookups[kind]
        if live is None:
            missing.append(kind)
        elif live.controller_uid == observed.service.uid:
            if live.manifest["metadata"].get("deletionTimestamp"):
                leaving.append(kind)
            else:
                ours[kind] = live
        elif _may_be_adopted(observed.service, live):
            adopted[kind] = live
        else:
            conflicts[kind] = _conflict(observed.service, live)
    return Holdings(ours, tuple(missing), adopted, conflicts, tuple(leaving), tuple(unknown))


def _may_be_adopted(service: ServiceView, live: LiveChild) -> bool:
    return (
        service.annotations.get(ADOPT) == "true"
        and live.controller_uid is None
        and not live.manifest["metadata"].get("deletionTimestamp")
        and _selector(live) == selector_labels(service.key.name)
    )


def _selector(live: LiveChild) -> Any:
    selector = (live.manifest.get("spec") or {}).get("selector") or {}
    if live.kind is ChildKind.DEPLOYMENT:
        # A further matchExpressions would select fewer pods than ours.
        return selector.get("matchLabels") if selector.keys() <= {"matchLabels"} else selector
    return selector


def _conflict(service: ServiceView, live: LiveChild) -> str:
    owner = _controller(live)
    what = f"{live.kind.value} {live.name} exists"
    if owner is not None:
        named = f"{owner.get('kind')} {owner.get('name')}"
        if named == f"OcrService {service.key.name}":
            return f"{what} and belongs to a deleted OcrService of this name; it will be removed"
        return f"{what} and is controlled by {named}; rename this OcrService or delete that object"
    wanted = ",".join(f"{key}={value}" for key, value in selector_labels(live.name).items())
    return (
        f"{what} and is not controlled by this OcrService; rename this one, delete that object, or "
        f'annotate this OcrService with {ADOPT}: "true", which takes it over if its selector is '
        f"{wanted}"
    )


def _controller(live: LiveChild) -> dict[str, Any] | None:
    owners = live.manifest["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)
