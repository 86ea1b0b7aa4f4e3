"""Measured starts on their way into profiles."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fake_api import Clock

from ocr_operator.runtime.errors import Retryable
from ocr_operator.runtime.profiles import WRITE_INTERVAL_SECONDS, ProfileStore
from ocr_operator.startup.profile import Profile, profile_manifest, profile_name, record
from ocr_operator.startup.sample import Source, Start, StartKey

BEGIN = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
KEY = StartKey("pp-ocr", "6", "native", "registry.test/ocr", "d" * 64, "cpu", "2")


def start(number: int) -> Start:
    return Start(
        container_id=f"containerd://{number}",
        started_at=BEGIN + timedelta(minutes=number),
        seconds=2.0 + number,
        source=Source.DOCUMENT,
        resolution=0.1,
    )


@dataclass
class Written:
    """The API server's side: it keeps the newest profile and can be told to refuse."""

    manifests: list[dict[str, Any]] = field(default_factory=list)
    refuse: bool = False
    version: int = 0

    async def __call__(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.refuse:
            raise Retryable("not now", 503)
        self.manifests.append(manifest)
        return self.shown(manifest)

    def shown(self, manifest: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        stamp = {"uid": "profile-uid", "resourceVersion": str(self.version)}
        return {**manifest, "metadata": {**manifest["metadata"], **stamp}}

    def containers(self) -> list[list[str]]:
        return [
            [sample["containerID"].removeprefix("containerd://") for sample in samples]
            for samples in (manifest["data"]["samples"] for manifest in self.manifests)
        ]


@dataclass
class Stage:
    clock: Clock = field(default_factory=Clock)
    written: Written = field(default_factory=Written)

    def __post_init__(self) -> None:
        self.store = ProfileStore("ocr-system", self.written, self.clock)

    async def work(self) -> None:
        """What `run` does with everything that is due."""
        while (key := self.store.queue.take()) is not None:
            try:
                await self.store.write(key)
            except Retryable:
                self.store.queue.failed(key)
            else:
                self.store.queue.done(key)

    def seen(self) -> list[str]:
        [profile] = self.store.of_model("pp-ocr")
        return [start.container_id.removeprefix("containerd://") for start in profile.starts]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def profile_of(*numbers: int) -> dict[str, Any]:
    profile = Profile(KEY)
    for number in numbers:
        profile = record(profile, start(number))
    return profile_manifest(profile, "ocr-system")


def test_a_start_is_seen_before_it_is_written(stage: Stage) -> None:
    assert stage.store.record(KEY, start(1))
    assert stage.seen() == ["1"]
    assert stage.store.of_model("tesseract") == ()


def test_a_start_counts_once(stage: Stage) -> None:
    assert stage.store.record(KEY, start(1))
    assert not stage.store.record(KEY, start(1))
    stage.store.put(stage.written.shown(profile_of(1, 2)))
    assert not stage.store.record(KEY, start(2))
    assert stage.seen() == ["1", "2"]


@pytest.mark.asyncio
async def test_the_first_start_is_written_at_once_and_the_others_together(stage: Stage) -> None:
    stage.store.record(KEY, start(1))
    await stage.work()
    for number in (2, 3, 4):
        stage.store.record(KEY, start(number))
        await stage.work()
    stage.clock.pass_(WRITE_INTERVAL_SECONDS - 0.1)
    await stage.work()
    assert stage.written.containers() == [["1"]]
    stage.clock.pass_(0.1)
    await stage.work()
    assert stage.written.containers() == [["1"], ["1", "2", "3", "4"]]
    stage.clock.pass_(60)
    await stage.work()
    assert len(stage.written.manifests) == 2


@pytest.mark.asyncio
async def test_starts_are_added_to_what_another_wrote_meanwhile(stage: Stage) -> None:
    stage.store.record(KEY, start(3))
    stage.store.put(stage.written.shown(profile_of(1, 2)))
    await stage.work()
    assert stage.written.containers() == [["1", "2", "3"]]


@pytest.mark.asyncio
async def test_a_write_that_fails_loses_nothing_and_is_repeated(stage: Stage) -> None:
    stage.written.refuse = True
    stage.store.record(KEY, start(1))
    await stage.work()
    assert stage.seen() == ["1"]
    stage.written.refuse = False
    stage.clock.pass_(WRITE_INTERVAL_SECONDS)
    await stage.work()
    assert stage.written.containers() == [["1"]]


@pytest.mark.asyncio
async def test_what_the_watch_does_not_show_yet_stays_visible(stage: Stage) -> None:
    stage.store.put(stage.written.shown(profile_of(1)))
    stage.store.record(KEY, start(2))
    stage.store.put(stage.written.shown(profile_of(1)))
    assert stage.seen() == ["1", "2"]


@pytest.mark.asyncio
async def test_at_the_end_everything_is_written(stage: Stage) -> None:
    stage.store.record(KEY, start(1))
    await stage.work()
    stage.store.record(KEY, start(2))
    stage.store.queue.close()
    await stage.store.flush_all()
    assert stage.written.containers() == [["1"], ["1", "2"]]
    await stage.store.flush_all()
    assert len(stage.written.manifests) == 2


@pytest.mark.asyncio
async def test_the_priors_of_people_are_used_and_never_written(stage: Stage) -> None:
    manifest = profile_of(1)
    manifest["spec"]["prior"] = {"medianSeconds": 30, "spread": 0.2, "source": "staging"}
    stage.store.put(stage.written.shown(manifest))
    [profile] = stage.store.of_model("pp-ocr")
    assert profile.prior is not None
    assert profile.prior.median_seconds == 30
    stage.store.record(KEY, start(2))
    await stage.work()
    assert stage.written.manifests[0]["spec"].keys() == {"key"}


@pytest.mark.parametrize(
    ("name", "namespace"), [("of-a-person", "ocr-system"), (profile_name(KEY), "team-a")]
)
def test_what_is_in_the_wrong_place_does_not_count(stage: Stage, name: str, namespace: str) -> None:
    manifest = profile_of(1)
    manifest["metadata"] |= {"name": name, "namespace": namespace}
    stage.store.put(stage.written.shown(manifest))
    assert stage.store.of_model("pp-ocr") == ()


def test_a_profile_that_cannot_be_read_is_no_exception(stage: Stage) -> None:
    manifest = stage.written.shown(profile_of(1))
    manifest["spec"] = {"key": "nonsense"}
    stage.store.put(manifest)
    assert stage.store.of_model("pp-ocr") == ()


def test_a_deleted_profile_is_forgotten_but_not_what_is_pending(stage: Stage) -> None:
    stage.store.put(stage.written.shown(profile_of(1)))
    stage.store.record(KEY, start(2))
    stage.store.drop("profile-uid", 2)
    assert stage.seen() == ["2"]
