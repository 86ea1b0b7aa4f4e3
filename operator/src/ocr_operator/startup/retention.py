"""Which profiles have outlived their use: every image that was ever run leaves one behind."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import UTC, datetime, timedelta

from ocr_operator.startup.profile import Profile
from ocr_operator.startup.sample import StartKey

RETENTION = timedelta(days=90)
"""Since the last start of a key. A quarter: a rollback goes back weeks, and what starts once a
quarter costs no more than one start on the catalogue's prior when it is forgotten."""
PROFILES_MAX = 250
"""Of them all. A full one is 57 KB of JSON and 135 KiB in memory: at most 14 MB in etcd and in each
list of them, and 33 of the operator's 256 MiB. A new image a week for five models on four kinds of
devices is 260 in a quarter, few of them full; and what goes is what was not needed for longest."""

NEVER = datetime.min.replace(tzinfo=UTC)


def expired(
    profiles: Iterable[Profile], in_use: Container[StartKey], now: datetime
) -> tuple[StartKey, ...]:
    """Keys of the profiles to delete, the longest unused first: no start for `RETENTION`, or too
    many of them.

    A profile with the user's prior is never among them, nor one in use: the start of a pod that
    still runs would only be measured, and its profile written, again. Both count for the cap, so
    it may be exceeded by them alone. A profile without any start has no age; it goes when there
    are too many.
    """
    everything = list(profiles)
    spare = sorted(
        (_last_start(profile), profile.key)
        for profile in everything
        if profile.prior is None and profile.key not in in_use
    )
    surplus = len(everything) - PROFILES_MAX
    return tuple(
        key
        for position, (last, key) in enumerate(spare)
        if position < surplus or NEVER < last < now - RETENTION
    )


def _last_start(profile: Profile) -> datetime:
    """A dropped start may be the newest one that is left to tell: a profile can be cut by hand."""
    dropped = profile.newest_dropped
    return max(
        (start.started_at for start in profile.starts),
        default=datetime.fromisoformat(dropped) if dropped else NEVER,
    )
