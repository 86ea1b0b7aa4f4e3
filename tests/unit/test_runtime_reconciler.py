"""One reconcile: the order of its calls, and what it does when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from fake_api import Answer, FakeApi, client_of, failure, fake_api
from kube_objects import deployment, ocr_service
from kubeapi import condition
from objects import policy

from ocr_operator.core.observed import ChildKind, Key
from ocr_operator.runtime.apply import KubeApi
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.errors import Conflict, Forbidden, NotFound, Refused
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.runtime.reconciler import Outcome, Parts, Reconciler, work
from ocr_operator.runtime.recorder import Recorder
from ocr_operator.runtime.scrape import Scraper
from ocr_operator.runtime.workqueue import WorkQueue

KEY = Key("team-a", "invoices")
OWNER = "/apis/ocr-operator.dev/v1alpha1/namespaces/team-a/ocrservices/invoices"
DEPLOYMENT = "/apis/apps/v1/namespaces/team-a/deployments/invoices"
SERVICE = "/api/v1/namespaces/team-a/services/invoices"
NAMESPACE = "/api/v1/namespaces/team-a"
ABSENT = failure(404, "not found")


@dataclass
class Stage:
    fake: FakeApi
    parts: Parts
    reconciler: Reconciler

    async def reconcile(self) -> Outcome:
        return await self.reconciler.reconcile(KEY)

    def calls(self) -> list[str]:
        """`GET deployments`, `PATCH status`, … in their order; forgets them."""
        names = {
            OWNER: "owner",
            DEPLOYMENT: "deployment",
            SERVICE: "service",
            NAMESPACE: "namespace",
        }
        made = [
            f"{asked.method} {names.get(asked.path, asked.path.rsplit('/')[-1])}"
            for asked in self.fake.asked
        ]
        self.fake.asked.clear()
        return made

    def degraded(self) -> str:
        """As the status that was written last says."""
        written = [asked.body for asked in self.fake.asked if asked.path == f"{OWNER}/status"]
        assert written[-1] is not None
        return condition(written[-1], "Degraded")["status"]

    def nothing_there(self) -> None:
        """The owner, and neither of its children."""
        self.fake.script(OWNER, Answer(body=ocr_service()))
        self.fake.script(NAMESPACE, Answer(body={"metadata": {"name": "team-a"}}))
        self.fake.echo_onto(f"{OWNER}/status", ocr_service())
        self.absent(DEPLOYMENT)
        self.absent(SERVICE)

    def absent(self, path: str) -> None:
        self.fake.script_get(path, ABSENT)


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    with fake_api() as fake:
        async with client_of(fake) as client:
            metrics = Metrics()
            api = KubeApi(client, metrics)

            def now() -> datetime:
                return datetime.now(UTC)

            parts = Parts(
                cache=Cache(),
                api=api,
                policy=policy(),
                profiles=ProfileStore("ocr-system", api.apply_profile),
                scraper=Scraper(lambda _: None, metrics, now),
                recorder=Recorder(api.create_event, "operator-0", metrics, now),
                metrics=metrics,
                now=now,
                serves=lambda namespace: namespace.startswith("team-"),
            )
            parts.cache.put_service(ocr_service())
            yield Stage(fake, parts, Reconciler(parts))


@pytest.mark.asyncio
async def test_a_new_service_is_looked_up_made_and_reported_in_this_order(stage: Stage) -> None:
    stage.nothing_there()
    outcome = await stage.reconcile()
    assert outcome.changed
    assert stage.calls() == [
        "GET deployment",
        "GET service",
        "GET owner",
        "GET namespace",
        "PATCH deployment",
        "PATCH service",
        "PATCH status",
    ]


@pytest.mark.asyncio
async def test_what_was_just_written_is_not_written_again_before_its_event_comes(
    stage: Stage,
) -> None:
    stage.nothing_there()
    await stage.reconcile()
    stage.calls()
    outcome = await stage.reconcile()
    assert not outcome.changed
    assert stage.calls() == []


@pytest.mark.asyncio
@pytest.mark.parametrize("owner", [ABSENT, Answer(body={"metadata": {"uid": "successor"}})])
async def test_for_an_owner_that_is_gone_nothing_is_made(stage: Stage, owner: Answer) -> None:
    stage.absent(DEPLOYMENT)
    stage.absent(SERVICE)
    stage.fake.script(OWNER, owner)
    outcome = await stage.reconcile()
    assert outcome.gone
    assert stage.calls() == ["GET deployment", "GET service", "GET owner"]


@pytest.mark.asyncio
async def test_in_a_namespace_that_is_being_deleted_nothing_is_put_back(stage: Stage) -> None:
    """Its objects go in any order, and each would only be refused."""
    ends = {"metadata": {"name": "team-a", "deletionTimestamp": "2026-11-01T11:00:00Z"}}
    stage.fake.script(NAMESPACE, Answer(body=ends))
    stage.nothing_there()
    outcome = await stage.reconcile()
    assert outcome.gone
    assert stage.calls() == ["GET deployment", "GET service", "GET owner", "GET namespace"]


@pytest.mark.asyncio
async def test_a_service_in_another_namespace_is_not_ours(stage: Stage) -> None:
    body = ocr_service()
    body["metadata"] |= {"namespace": "elsewhere", "uid": "other"}
    stage.parts.cache.put_service(body)
    outcome = await stage.reconciler.reconcile(Key("elsewhere", "invoices"))
    assert outcome.gone
    assert stage.calls() == []


@pytest.mark.asyncio
async def test_a_refusal_does_not_keep_the_rest_and_reaches_the_status(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(stage.parts.recorder, "record", lambda _, event: notes.append(event.note))
    stage.nothing_there()
    stage.fake.script(DEPLOYMENT, failure(422, "spec.colour: unknown"))
    with pytest.raises(Refused, match=r"spec\.colour"):
        await stage.reconcile()
    [status] = [asked.body for asked in stage.fake.asked if asked.path.endswith("/status")]
    assert "spec.colour: unknown" in str(status)
    assert "PATCH service" in stage.calls()
    # What was made is told, what was refused is not.
    assert "Service invoices: created." in notes
    assert "Deployment invoices: created." not in notes


@pytest.mark.asyncio
async def test_a_refused_edit_that_is_taken_back_is_over(stage: Stage) -> None:
    stage.nothing_there()
    await stage.reconcile()
    stage.fake.script(f"PATCH {DEPLOYMENT}", failure(422, "spec.colour: unknown"))
    stage.parts.cache.put_service(ocr_service(1001, nodeSelector={"disk": "ssd"}))
    with pytest.raises(Refused):
        await stage.reconcile()
    assert stage.degraded() == "True"
    stage.parts.cache.put_service(ocr_service(1002))
    await stage.reconcile()
    assert stage.degraded() == "False"


@pytest.mark.asyncio
async def test_in_a_namespace_that_refuses_creations_nothing_is_tried_again(stage: Stage) -> None:
    stage.nothing_there()
    ends = failure(403, "unable to create new content because it is being terminated")
    stage.fake.script(f"PATCH {DEPLOYMENT}", ends)
    with pytest.raises(Forbidden):
        await stage.reconcile()
    stage.calls()
    for _ in range(2):
        assert await stage.reconcile() == Outcome()
    assert stage.calls() == []


@pytest.mark.asyncio
async def test_an_object_that_appears_during_a_creation_is_a_conflict(stage: Stage) -> None:
    stage.nothing_there()
    stage.fake.script(DEPLOYMENT, failure(409, 'conflict with "somebody"'))
    with pytest.raises(Conflict):
        await stage.reconcile()
    assert stage.calls()[-1] == "PATCH deployment"


@pytest.mark.asyncio
async def test_a_service_that_goes_while_it_is_reported_is_gone(stage: Stage) -> None:
    stage.fake.script(OWNER, Answer(body=ocr_service()), ABSENT)
    stage.nothing_there()
    stage.fake.script(f"{OWNER}/status", ABSENT)
    assert (await stage.reconcile()).gone


@pytest.mark.asyncio
@pytest.mark.parametrize("path", [DEPLOYMENT, f"{OWNER}/status"])
async def test_a_write_that_finds_no_place_is_repeated_while_the_service_is_there(
    stage: Stage, path: str
) -> None:
    stage.nothing_there()
    stage.fake.script(f"PATCH {path}", ABSENT)
    with pytest.raises(NotFound):
        await stage.reconcile()
    assert stage.calls()[-1] == "GET owner"


@pytest.mark.asyncio
async def test_another_ones_object_is_only_looked_at(stage: Stage) -> None:
    theirs: dict[str, Any] = deployment(ownerReferences=[])
    stage.fake.script_get(DEPLOYMENT, Answer(body=theirs))
    stage.absent(SERVICE)
    outcome = await stage.reconcile()
    assert outcome.requeue_at is not None
    assert stage.calls() == ["GET deployment", "GET service", "PATCH status"]


@pytest.mark.asyncio
async def test_a_bug_in_one_service_is_counted_and_the_others_go_on(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.nothing_there()
    broken = ocr_service()
    broken["metadata"] |= {"name": "broken", "uid": "broken"}
    stage.parts.cache.put_service(broken)
    # What no watch would show: a child without what every object has.
    store = stage.parts.cache.children[ChildKind.DEPLOYMENT]
    store.put("x", Key("team-a", "broken"), 1, "nonsense")  # type: ignore[arg-type]
    queue: WorkQueue[Key] = WorkQueue()
    queue.add(Key("team-a", "broken"))
    queue.add(KEY)
    worker = asyncio.ensure_future(work(stage.reconciler, queue, stage.parts))
    async with asyncio.timeout(10):
        while queue.depth() or queue.in_work():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    queue.close()
    await worker
    registry = stage.parts.metrics.registry
    for result in ("bug", "changed"):
        labels = {"result": result}
        assert registry.get_sample_value("ocrservice_reconcile_total", labels) == 1
    assert "AttributeError" in caplog.text
