"""Profiles that have outlived their use are deleted, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fake_api import FakeApi, client_of, failure, fake_api
from kube_objects import CONTAINER_ID, ocr_service, pod

from ocr_operator.core.learn import key_status
from ocr_operator.runtime.apply import PROFILE, KubeApi
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.runtime.retention import retire
from ocr_operator.startup.profile import Profile, profile_manifest, profile_name, record
from ocr_operator.startup.sample import Source, Start, StartKey

NOW = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=365)
FIRST, SECOND = (
    StartKey("pp-ocr", "6", "native", "registry.test/ocr", digest * 64, "cpu") for digest in "ab"
)


def start(at: datetime, container_id: str = "containerd://gone") -> Start:
    return Start(container_id, at, 2.0, Source.DOCUMENT, 0.1)


@dataclass
class Stage:
    fake: FakeApi
    api: KubeApi
    profiles: ProfileStore
    cache: Cache

    def see(self, key: StartKey, *starts: Start, **spec: Any) -> None:
        """A profile of the key, as the watch shows it."""
        profile = Profile(key)
        for one in starts or (start(LONG_AGO),):
            profile = record(profile, one)
        body = profile_manifest(profile, "ocr-system")
        body["metadata"] |= {"uid": f"uid-{key.digest[0]}", "resourceVersion": "7"}
        body["spec"] |= spec
        self.profiles.put(body)

    async def retire(self) -> list[str]:
        """Names of the profiles whose deletion was asked for."""
        await retire(self.profiles, self.cache, self.api.delete_profile, NOW)
        assert {asked.method for asked in self.fake.asked} <= {"DELETE"}
        return [asked.path.rsplit("/")[-1] for asked in self.fake.asked]


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    with fake_api() as fake:
        async with client_of(fake) as client:
            api = KubeApi(client, Metrics())
            yield Stage(fake, api, ProfileStore("ocr-system", api.apply_profile), Cache())


@pytest.mark.asyncio
async def test_what_was_not_used_for_long_is_deleted_as_it_was_seen(stage: Stage) -> None:
    stage.see(FIRST)
    stage.see(SECOND, start(NOW))
    assert await stage.retire() == [profile_name(FIRST)]
    [asked] = stage.fake.asked
    assert asked.body == {"preconditions": {"uid": "uid-a", "resourceVersion": "7"}}


@pytest.mark.asyncio
async def test_a_start_that_is_not_written_yet_keeps_its_profile(stage: Stage) -> None:
    stage.see(FIRST)
    stage.profiles.record(FIRST, start(NOW, "containerd://new"))
    assert await stage.retire() == []


@pytest.mark.asyncio
async def test_what_was_never_written_is_not_asked_for(stage: Stage) -> None:
    stage.profiles.record(FIRST, start(LONG_AGO))
    assert await stage.retire() == []


@pytest.mark.asyncio
async def test_what_a_status_names_is_kept_for_when_the_service_runs_again(stage: Stage) -> None:
    stage.see(FIRST)
    named = key_status(FIRST).model_dump(by_alias=True, exclude_none=True)
    stage.cache.put_service(ocr_service() | {"status": {"startup": {"key": named}}})
    assert await stage.retire() == []


@pytest.mark.asyncio
async def test_the_start_of_a_container_that_runs_is_kept(stage: Stage) -> None:
    """It would be measured again, written again and deleted again."""
    stage.see(FIRST, start(LONG_AGO, CONTAINER_ID))
    stage.cache.put_pod(pod())
    assert await stage.retire() == []


@pytest.mark.asyncio
async def test_what_a_person_brought_is_kept(stage: Stage) -> None:
    prior = {"medianSeconds": 30, "spread": 0.2, "source": "staging"}
    stage.see(FIRST, prior=prior)
    assert await stage.retire() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [404, 409])
async def test_one_that_was_written_or_deleted_meanwhile_does_not_keep_the_others(
    stage: Stage, status: int
) -> None:
    for key in (FIRST, SECOND):
        stage.see(key)
    stage.fake.script(PROFILE.path("ocr-system", profile_name(FIRST)), failure(status, "no"))
    assert sorted(await stage.retire()) == sorted(map(profile_name, (FIRST, SECOND)))


@pytest.mark.asyncio
async def test_without_the_right_it_is_said_once(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    for key in (FIRST, SECOND):
        stage.see(key)
        path = PROFILE.path("ocr-system", profile_name(key))
        stage.fake.script(path, failure(403, "ocrstartupprofiles is forbidden"))
    assert len(await stage.retire()) == 1
    assert caplog.text.count("is forbidden") == 1
