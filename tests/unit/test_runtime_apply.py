"""Calls to the API server: what is sent, what is repeated, and what each failure means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from fake_api import Answer, FakeApi, client_of, failure, fake_api

from ocr_operator.core.observed import ChildKind, Key
from ocr_operator.core.plan import Apply
from ocr_operator.runtime.apply import ATTEMPTS, CHILDREN, OCR_SERVICE, PROFILE, KubeApi
from ocr_operator.runtime.errors import (
    ApiError,
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    Retryable,
)
from ocr_operator.runtime.metrics import Metrics

KEY = Key("team-a", "invoices")
PATH = "/apis/apps/v1/namespaces/team-a/deployments/invoices"


@dataclass
class Wired:
    fake: FakeApi
    api: KubeApi
    metrics: Metrics
    pauses: list[float] = field(default_factory=list)

    def count(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0


@pytest_asyncio.fixture
async def wired() -> AsyncIterator[Wired]:
    with fake_api() as fake:
        async with client_of(fake) as client:
            pauses: list[float] = []

            async def pause(seconds: float) -> None:
                pauses.append(seconds)

            metrics = Metrics()
            yield Wired(fake, KubeApi(client, metrics, pause), metrics, pauses)


def change(*, force: bool) -> Apply:
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "invoices", "namespace": "team-a"},
        "spec": {"replicas": 1, "paused": False},
    }
    return Apply(ChildKind.DEPLOYMENT, manifest, force, "created")


def test_every_kind_of_child_has_a_place() -> None:
    assert CHILDREN.keys() == set(ChildKind)


@pytest.mark.asyncio
@pytest.mark.parametrize("force", [True, False])
async def test_a_child_is_applied_by_our_manager(wired: Wired, force: bool) -> None:
    answer = await wired.api.apply_child(KEY, change(force=force))
    [asked] = wired.fake.asked
    assert (asked.method, asked.path) == ("PATCH", PATH)
    assert asked.query == {"fieldManager": "ocr-operator", "force": str(force).lower()}
    assert asked.headers["Content-Type"] == "application/apply-patch+yaml"
    assert asked.body == change(force=force).manifest
    assert answer["spec"] == asked.body["spec"]
    assert wired.count("ocr_operator_api_writes_total", verb="apply", kind="Deployment") == 1


@pytest.mark.asyncio
async def test_the_status_is_applied_for_this_uid_only(wired: Wired) -> None:
    await wired.api.apply_status(KEY, "u-1", {"replicas": "1/1"})
    [asked] = wired.fake.asked
    assert asked.path == (
        "/apis/ocr-operator.dev/v1alpha1/namespaces/team-a/ocrservices/invoices/status"
    )
    assert asked.query["force"] == "true"
    assert asked.body == {
        "apiVersion": "ocr-operator.dev/v1alpha1",
        "kind": "OcrService",
        "metadata": {"name": "invoices", "namespace": "team-a", "uid": "u-1"},
        "status": {"replicas": "1/1"},
    }


@pytest.mark.asyncio
async def test_a_profile_is_deleted_as_it_was_seen(wired: Wired) -> None:
    seen = {"namespace": "ocr-system", "name": "pp-ocr-1", "uid": "u-1", "resourceVersion": "7"}
    await wired.api.delete_profile(seen)
    [asked] = wired.fake.asked
    assert asked.method == "DELETE"
    assert asked.path == PROFILE.path("ocr-system", "pp-ocr-1")
    assert asked.body == {"preconditions": {"uid": "u-1", "resourceVersion": "7"}}
    count = wired.count("ocr_operator_api_writes_total", verb="delete", kind="OcrStartupProfile")
    assert count == 1


@pytest.mark.asyncio
async def test_a_429_is_repeated_after_what_the_server_asks_for(wired: Wired) -> None:
    wired.fake.script(PATH, failure(429, "slow down", Retry_After="3"), Answer(body={"ok": True}))
    assert await wired.api.apply_child(KEY, change(force=True)) == {"ok": True}
    [pause] = wired.pauses
    assert 3 <= pause < 4


@pytest.mark.asyncio
async def test_a_long_retry_after_is_left_to_the_work_queue(wired: Wired) -> None:
    wired.fake.script(PATH, failure(429, "much slower", Retry_After="60"))
    with pytest.raises(Retryable) as caught:
        await wired.api.apply_child(KEY, change(force=True))
    assert caught.value.after == 60
    assert wired.pauses == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "trouble", [failure(500, "etcd"), failure(503, "going"), failure(401, "no"), Answer(drop=True)]
)
async def test_a_short_trouble_is_repeated(wired: Wired, trouble: Answer) -> None:
    wired.fake.script(PATH, trouble, trouble, Answer(body={"ok": True}))
    assert await wired.api.apply_child(KEY, change(force=True)) == {"ok": True}
    assert len(wired.fake.asked) == 3
    assert wired.pauses == sorted(wired.pauses)


@pytest.mark.asyncio
@pytest.mark.parametrize("trouble", [failure(500, "etcd is away"), Answer(drop=True)])
async def test_a_long_trouble_is_given_up(wired: Wired, trouble: Answer) -> None:
    wired.fake.script(PATH, trouble)
    with pytest.raises(Retryable):
        await wired.api.apply_child(KEY, change(force=True))
    assert len(wired.fake.asked) == ATTEMPTS


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "meaning"),
    [(400, Refused), (403, Forbidden), (404, NotFound), (409, Conflict), (422, Refused)],
)
async def test_what_repeating_does_not_mend_is_not_repeated(
    wired: Wired, status: int, meaning: type[ApiError]
) -> None:
    wired.fake.script(PATH, failure(status, "deployments.apps is\n  not yours"))
    with pytest.raises(meaning, match=r"^deployments\.apps is not yours$"):
        await wired.api.apply_child(KEY, change(force=False))
    assert len(wired.fake.asked) == 1
    assert wired.count("ocr_operator_api_failures_total", status=str(status)) == 1


@pytest.mark.asyncio
async def test_a_message_is_cut_where_a_condition_would_not_hold_it(wired: Wired) -> None:
    wired.fake.script(PATH, failure(422, "x" * 5000))
    with pytest.raises(Refused) as caught:
        await wired.api.apply_child(KEY, change(force=True))
    assert len(str(caught.value)) == 1024


@pytest.mark.asyncio
async def test_an_answer_that_is_not_json_is_still_a_message(wired: Wired) -> None:
    wired.fake.script("/healthz", Answer(status=403))
    with pytest.raises(Forbidden, match="HTTP 403"):
        await wired.api._call("GET", "/healthz")


@pytest.mark.asyncio
async def test_a_child_that_is_absent_is_none(wired: Wired) -> None:
    wired.fake.script(PATH, failure(404, "deployments.apps invoices not found"))
    assert await wired.api.find_child(ChildKind.DEPLOYMENT, KEY) is None


@pytest.mark.asyncio
async def test_an_event_whose_answer_was_lost_is_one_event(wired: Wired) -> None:
    path = "/apis/events.k8s.io/v1/namespaces/team-a/events"
    wired.fake.script(path, Answer(drop=True), failure(409, "already exists"))
    await wired.api.create_event({"metadata": {"namespace": "team-a", "name": "invoices.1"}})
    assert len(wired.fake.asked) == 2


@pytest.mark.asyncio
async def test_a_warning_of_the_api_server_is_logged_once(
    wired: Wired, caplog: pytest.LogCaptureFixture
) -> None:
    warning = Answer(headers={"Warning": '299 - "unknown field \\"status.colour\\""'})
    wired.fake.script(PATH, warning)
    for _ in range(3):
        await wired.api.apply_child(KEY, change(force=True))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "status.colour" in caplog.text


def kinds(*plurals: str) -> Answer:
    resources: list[dict[str, Any]] = [{"name": plural} for plural in plurals]
    return Answer(body={"resources": resources})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "served"),
    [
        (failure(404, "not found"), False),
        (kinds("ocrservices"), False),
        (kinds("ocrservices", "ocrservices/status", "ocrstartupprofiles"), True),
    ],
)
async def test_the_kinds_are_served_when_both_crds_are_there(
    wired: Wired, answer: Answer, served: bool
) -> None:
    wired.fake.script(OCR_SERVICE.prefix, answer)
    assert await wired.api.serves(OCR_SERVICE, PROFILE) is served
