"""Retention: profiles nobody needs go, and nothing anybody may miss."""

from __future__ import annotations

from datetime import datetime, timedelta

from objects import NOW, start, start_key

from ocr_operator.startup import retention
from ocr_operator.startup.profile import Prior, Profile, rfc3339
from ocr_operator.startup.retention import PROFILES_MAX, RETENTION, expired

OLD = NOW - RETENTION - timedelta(seconds=1)
RECENT = NOW - RETENTION + timedelta(seconds=1)


def used(digest: str, *moments: datetime) -> Profile:
    starts = tuple(start(2.0, f"{digest}-{at:%s}", at) for at in moments)
    return Profile(start_key(digest=digest), starts)


def digests(*profiles: Profile, in_use: frozenset[str] = frozenset()) -> list[str]:
    keys = {start_key(digest=digest) for digest in in_use}
    return [key.digest for key in expired(profiles, keys, NOW)]


def many(count: int) -> list[Profile]:
    """Recent ones, the longest unused first: a0000, a0001, …"""
    return [used(f"a{n:04}", RECENT + timedelta(minutes=n)) for n in range(count)]


def test_a_profile_without_a_start_for_a_quarter_goes() -> None:
    assert digests(used("old", OLD), used("new", OLD, RECENT)) == ["old"]


def test_the_users_prior_is_never_deleted() -> None:
    measured = used("old", OLD)
    known = Profile(measured.key, measured.starts, Prior(38.0, 0.1, "staging"))
    assert digests(known) == []
    assert "old" not in digests(known, *many(PROFILES_MAX))


def test_a_profile_in_use_stays_however_old_its_start_is() -> None:
    assert digests(used("runs", OLD), used("gone", OLD), in_use=frozenset({"runs"})) == ["gone"]


def test_a_dropped_start_is_a_use_too() -> None:
    assert digests(Profile(start_key(digest="cut"), newest_dropped=rfc3339(RECENT))) == []
    assert digests(Profile(start_key(digest="cut"), newest_dropped=rfc3339(OLD))) == ["cut"]


def test_above_the_cap_the_longest_unused_go_first() -> None:
    profiles = many(PROFILES_MAX)
    assert digests(*profiles) == []
    assert digests(*many(PROFILES_MAX + 2)) == ["a0000", "a0001"]
    assert digests(used("old", OLD), *reversed(profiles)) == ["old"]


def test_what_must_stay_counts_for_the_cap() -> None:
    profiles = many(PROFILES_MAX + 1)
    assert digests(*profiles, in_use=frozenset({"a0000"})) == ["a0001"]
    everything = frozenset(profile.key.digest for profile in profiles)
    assert digests(*profiles, in_use=everything) == []


def test_a_profile_without_any_start_goes_only_when_there_are_too_many() -> None:
    empty = Profile(start_key(digest="empty"))
    assert digests(empty) == []
    assert digests(empty, *many(PROFILES_MAX)) == ["empty"]


def test_asked_again_after_the_deletion_there_is_nothing_left_to_delete() -> None:
    profiles = [used("old", OLD), *many(PROFILES_MAX + 3)]
    gone = expired(profiles, (), NOW)
    assert len(gone) == 4
    assert retention.expired([p for p in profiles if p.key not in gone], (), NOW) == ()
