"""Profiles: each start once, a window, and the way to the object and back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from objects import NOW, seconds, start, start_key

from ocr_operator.startup.profile import (
    WINDOW,
    Prior,
    Profile,
    knows,
    profile_manifest,
    profile_name,
    read_profile,
    record,
)
from ocr_operator.startup.sample import Start


def full() -> Profile:
    profile = Profile(start_key())
    for number in range(WINDOW):
        profile = record(profile, start(2.0, f"c{number}", NOW + seconds(number)))
    return profile


def test_a_start_is_added_in_the_order_of_time() -> None:
    profile = record(Profile(start_key()), start(2.0, "late", NOW + seconds(9)))
    profile = record(profile, start(3.0, "early", NOW))
    assert [entry.container_id for entry in profile.starts] == ["early", "late"]


def test_a_container_is_counted_once_whatever_repeats_it() -> None:
    once = record(Profile(start_key()), start(2.0, "c"))
    assert record(once, start(2.0, "c")) is once
    assert record(once, start(99.0, "c", NOW + seconds(50))) is once


def test_the_oldest_leaves_the_window() -> None:
    profile = record(full(), start(2.0, "new", NOW + timedelta(days=1)))
    assert len(profile.starts) == WINDOW
    assert profile.starts[0].container_id == "c1"
    assert (profile.dropped, profile.newest_dropped) == (1, "2026-11-21T04:00:00Z")


def test_what_is_older_than_the_dropped_is_not_counted_again() -> None:
    profile = record(full(), start(2.0, "new", NOW + timedelta(days=1)))
    assert record(profile, start(2.0, "c0", NOW)) is profile
    assert knows(profile, "never seen", NOW - seconds(1))


def test_a_start_older_than_a_full_window_does_not_come_back_for_ever() -> None:
    profile = record(full(), start(2.0, "ancient", NOW - timedelta(days=9)))
    assert record(profile, start(2.0, "ancient", NOW - timedelta(days=9))) is profile


@given(st.permutations([start(float(n), f"c{n}", NOW + seconds(n % 4)) for n in range(1, 9)]))
def test_the_order_of_recording_is_irrelevant(starts: list[Start]) -> None:
    profile = Profile(start_key())
    for entry in [*starts, *starts]:
        profile = record(profile, entry)
    wanted = sorted(starts, key=lambda entry: (entry.started_at, entry.container_id))
    assert list(profile.starts) == wanted


def test_the_name_is_the_model_and_a_hash_of_the_whole_key() -> None:
    name = profile_name(start_key())
    assert re.fullmatch(r"pp-ocr-[0-9a-f]{12}", name)
    assert name == profile_name(start_key())
    others = [
        start_key(version="7"),
        start_key(backend="vllm"),
        start_key(repository="other"),
        start_key(digest="b"),
        start_key(device="NVIDIA L4"),
        start_key(cpu_limit="2"),
    ]
    assert len({name, *map(profile_name, others)}) == 7


@pytest.mark.parametrize("model", ["paddleocr-vl.1", "-", "a" * 63, "Übung"])
def test_every_name_is_an_objects_name(model: str) -> None:
    name = profile_name(start_key(model=model))
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 63


def test_the_way_to_the_object_and_back_loses_nothing() -> None:
    profile = record(full(), start(2.5, "new", NOW + timedelta(days=1), phases={"import": 0.5}))
    manifest = profile_manifest(profile, "ocr-system")
    assert manifest["metadata"]["namespace"] == "ocr-system"
    assert manifest["metadata"]["name"] == profile_name(profile.key)
    assert "prior" not in manifest["spec"]
    assert read_profile(manifest) == profile


def test_the_users_prior_is_read() -> None:
    manifest = profile_manifest(Profile(start_key()), "ocr-system")
    manifest["spec"]["prior"] = {
        "medianSeconds": 38,
        "spread": 0.1,
        "source": "staging",
        "count": 9,
    }
    found = read_profile(manifest)
    assert found is not None
    assert found.prior == Prior(38.0, 0.1, "staging", 9)
    assert found.starts == ()


def test_a_profile_for_any_device_is_read() -> None:
    found = read_profile({"spec": {"key": {"model": "pp-ocr"}}})
    assert found is not None
    assert (found.key.model, found.key.device) == ("pp-ocr", "")


@pytest.mark.parametrize(
    "manifest",
    [{}, {"spec": {}}, {"spec": {"key": {"model": "a"}}, "data": {"samples": [{"seconds": "x"}]}}],
)
def test_what_is_no_profile_is_none(manifest: dict[str, object]) -> None:
    assert read_profile(manifest) is None
