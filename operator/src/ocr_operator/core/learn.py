"""Which measured starts speak for a service, and what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from ocr_operator.api.v1alpha1 import StartKeyStatus, StartupStatus
from ocr_operator.core import image
from ocr_operator.core.measure import CPU, own_starts
from ocr_operator.core.observed import Observed
from ocr_operator.core.quantity import plain
from ocr_operator.core.resolve import Resolved
from ocr_operator.core.written import read_status
from ocr_operator.startup.estimate import Estimate, estimate
from ocr_operator.startup.explain import explain
from ocr_operator.startup.probes import Probes, budget_rule, generate
from ocr_operator.startup.profile import Profile
from ocr_operator.startup.sample import Start, StartKey

EXACT, PRIOR = "exact", "prior"
"""Levels: starts of this very key; what somebody wrote down before the first one."""
STATIC_MODE = "Static"


@dataclass(frozen=True, slots=True)
class Learned:
    """What the next template would be rendered with. `key` is None while there is none."""

    key: StartKey | None
    level: str
    starts: tuple[Start, ...]
    """Of the key, oldest first, whether they were used or not."""
    estimate: Estimate
    probes: Probes
    explanation: str


@dataclass(frozen=True, slots=True)
class Running:
    """The image of the present template, and since when it has been that one; None: always."""

    image: str
    since: datetime | None = None


def learn(
    observed: Observed, service: Resolved, running: Running, wanted_image: str, limit: str
) -> Learned:
    """For a template with that image and CPU limit. What another image did is not known to
    hold."""
    keys = _keys(observed, running) if running.image == wanted_image else ()
    wanted = {_fitted(key, service, limit) for key in keys}
    profiles = [profile for profile in observed.profiles if profile.key in wanted]
    found = [_from_profile(service, profile) for profile in profiles]
    if not found:
        return _from_prior(service)
    # Of several kinds of devices the service's pods ran on, the next pod may get the slowest.
    return max(found, key=lambda learned: (learned.estimate.budget, learned.key or _NO_KEY))


def recorded_key(startup: StartupStatus | None, running: Running) -> StartKey | None:
    """The key that the status was written about, if that was with the image that runs now."""
    if startup is None or startup.key is None or startup.key.model is None:
        return None
    measured, since = startup.last_measured_time, running.since
    if since is not None and (measured is None or measured <= since):
        return None
    return start_key(startup.key)


def start_key(written: StartKeyStatus) -> StartKey:
    """From `status.startup.key`."""
    return StartKey(**{name: value or "" for name, value in written.model_dump().items()})


def key_status(key: StartKey) -> StartKeyStatus:
    """For `status.startup.key`."""
    return StartKeyStatus(**{name: value or None for name, value in asdict(key).items()})


_NO_KEY = StartKey("", "", "", "", "", "")


def _keys(observed: Observed, running: Running) -> tuple[StartKey, ...]:
    """Keys of the pods that are there, and the one known from pods that are gone."""
    seen = {own.profile.key for own in own_starts(observed, running.image)}
    known = recorded_key(read_status(observed.service.status).startup, running)
    superseded = known is None or any(key.device == known.device for key in seen)
    if (
        known is not None
        and not superseded
        and known.repository == image.parse(running.image).repository
    ):
        seen.add(known)
    return tuple(sorted(seen))


def _fitted(key: StartKey, service: Resolved, limit: str) -> StartKey:
    """The key a pod of the new template will have, if it lands on the same device."""
    return replace(
        key,
        model=service.model.name,
        version=service.version,
        backend=service.backend,
        cpu_limit=plain(limit) if key.device == CPU else "",
    )


def _from_profile(service: Resolved, profile: Profile) -> Learned:
    """The user's own prior of the profile is nearer than the catalogue's."""
    used = [] if is_static(service) else [start.seconds for start in profile.starts]
    prior = profile.prior or service.model.prior
    found = estimate(used, prior, budget_rule(service.spec.probes))
    subject = f"{service.subject} on {profile.key.device}"
    level = EXACT if used else PRIOR
    return _learned(service, profile.key, level, profile.starts, found, subject)


def _from_prior(service: Resolved) -> Learned:
    found = estimate([], service.model.prior, budget_rule(service.spec.probes))
    return _learned(service, None, PRIOR, (), found, service.subject)


def _learned(
    service: Resolved,
    key: StartKey | None,
    level: str,
    starts: Iterable[Start],
    found: Estimate,
    subject: str,
) -> Learned:
    probes = generate(found.center, found.budget, service.spec.probes)
    return Learned(key, level, tuple(starts), found, probes, explain(found, probes, subject))


def is_static(service: Resolved) -> bool:
    """Whether measured starts are shown but not used."""
    probes = service.spec.probes
    return probes is not None and probes.mode == STATIC_MODE
