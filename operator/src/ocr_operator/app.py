"""Wires everything together and runs it: one event loop, one client, crash-only.

Whatever ends that should not have ended ends the process, and the kubelet starts it again: state is
in the API server. SIGTERM finishes what is in work and writes the starts that are not written yet.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import random
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from kubernetes.aio.client.configuration import Configuration

from ocr_operator.core.observed import Key
from ocr_operator.core.plan import Policy
from ocr_operator.runtime.apply import OCR_SERVICE, PROFILE, KubeApi
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.connection import Login, load_configuration, open_client
from ocr_operator.runtime.errors import ApiError
from ocr_operator.runtime.handlers import Watched, watched_kinds
from ocr_operator.runtime.health import Health
from ocr_operator.runtime.informer import inform
from ocr_operator.runtime.metrics import Metrics
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.runtime.reconciler import Parts, Reconciler, work
from ocr_operator.runtime.recorder import Recorder
from ocr_operator.runtime.retention import retire
from ocr_operator.runtime.scrape import PARALLEL, Scraper, open_session
from ocr_operator.runtime.watches import WatchMonitor
from ocr_operator.runtime.workqueue import WorkQueue
from ocr_operator.settings import Settings

log = logging.getLogger(__name__)

RESYNC_SECONDS = 600.0
"""Every OcrService is looked at that often, for what no event tells. It costs no write."""
RESYNC_SPREAD_SECONDS = 60.0
"""The looks of one resync are spread over this time."""
RETIRE_SECONDS = 3600.0
"""Between two looks for profiles that have expired, after months: none is urgent."""
DRAIN_SECONDS = 12.0
"""For the reconciles in work when the process is to end."""
FLUSH_SECONDS = 5.0
"""For the starts and events not written by then; with the above well within the pod's 30 s."""
STOP_WATCHING_SECONDS = 5.0
"""For kopf to end its watches."""
CRD_POLL_SECONDS = 5.0


class TaskEnded(RuntimeError):
    """A task that runs for ever has returned."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Everything that lives as long as the process."""

    settings: Settings
    parts: Parts
    queue: WorkQueue[Key]
    kinds: tuple[Watched, ...]
    watches: WatchMonitor
    health: Health
    login: Login
    stop: asyncio.Event


async def run(settings: Settings, policy: Policy) -> None:
    """Run until SIGTERM or SIGINT. Raises when anything but that ends it. Either way tasks of kopf
    may be left that cannot be cancelled: end the process without waiting for them."""
    configuration = await load_configuration(settings.kubeconfig)
    async with open_client(configuration) as client, open_session() as pods:
        metrics = Metrics()
        operator = build(settings, policy, KubeApi(client, metrics), metrics, configuration)
        _stop_on_signals(operator.stop)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(operator.health.serve(settings.http_port))
            ticking = group.create_task(operator.health.tick())
            if await _kinds_are_served(operator):
                await _operate(operator, pods, group)
            ticking.cancel()
            serving.cancel()


def build(
    settings: Settings,
    policy: Policy,
    api: KubeApi,
    metrics: Metrics,
    configuration: Configuration,
) -> Operator:
    """The object graph; nothing runs yet."""
    queue: WorkQueue[Key] = WorkQueue()
    cache = Cache()
    profiles = ProfileStore(settings.namespace, api.apply_profile)
    kinds = watched_kinds(cache, profiles, settings)
    parts = Parts(
        cache=cache,
        api=api,
        policy=policy,
        profiles=profiles,
        scraper=Scraper(queue.add, metrics, _now),
        recorder=Recorder(api.create_event, platform.node() or "ocr-operator", metrics, _now),
        metrics=metrics,
        now=_now,
        serves=settings.serves,
    )

    def forget_what_was_not_listed(plural: str, namespace: str | None, since: float) -> None:
        kind = next(kind for kind in kinds if kind.plural == plural)
        for key in kind.sweep(since, namespace):
            log.info("%s vanished while its watch was interrupted", plural, extra={"key": str(key)})
            queue.add(key)

    watches = WatchMonitor(forget_what_was_not_listed)
    return Operator(
        settings=settings,
        parts=parts,
        queue=queue,
        kinds=kinds,
        watches=watches,
        health=Health(watches, queue, metrics),
        login=Login(configuration, watches),
        stop=asyncio.Event(),
    )


async def _operate(
    operator: Operator, pods: aiohttp.ClientSession, group: asyncio.TaskGroup
) -> None:
    """Start everything, wait for the signal, and end in the order in which nothing is lost."""
    parts, queue = operator.parts, operator.queue
    reconciler = Reconciler(parts)

    def start(task: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return group.create_task(_for_ever(task, operator.health))

    async def work_on_a_full_cache() -> None:
        await operator.watches.filled.wait()
        await work(reconciler, queue, parts)

    workers = [start(work_on_a_full_cache()) for _ in range(operator.settings.workers)]
    writer = start(parts.profiles.run())
    readers = [start(parts.scraper.run(pods)) for _ in range(PARALLEL)]
    forever = (parts.recorder.run(), _resync(operator), _retire(operator))
    others = [*readers, *(start(task) for task in forever)]
    stop_watching = asyncio.Event()
    # Last: when kopf ends it cancels every task that began after it. And no child of the group,
    # which would wait for it: kopf does not always end.
    watching = asyncio.create_task(_watch(operator, stop_watching))
    watcher = start(_outcome(watching))

    await operator.stop.wait()
    log.info("stopping")
    operator.health.stopping = True
    await _drain(operator, [*workers, writer])
    for task in (*workers, writer, *others):
        task.cancel()
    stop_watching.set()
    await asyncio.wait([watching], timeout=STOP_WATCHING_SECONDS)
    watcher.cancel()


async def _drain(operator: Operator, tasks: list[asyncio.Task[None]]) -> None:
    """Let what is in work end, and write what is not written."""
    parts = operator.parts
    for queue in (operator.queue, parts.scraper.queue, parts.profiles.queue):
        queue.close()
    # Workers that still wait for it would be waited for.
    operator.watches.filled.set()
    await asyncio.wait(tasks, timeout=DRAIN_SECONDS)
    try:
        async with asyncio.timeout(FLUSH_SECONDS):
            await parts.profiles.flush_all()
            await parts.recorder.drained()
    except TimeoutError:
        log.warning("stopped with starts or events that are not written")


async def _watch(operator: Operator, stop: asyncio.Event) -> None:
    await inform(
        operator.kinds,
        operator.settings.watched,
        operator.queue,
        operator.watches,
        operator.login,
        stop,
        # It has to stop last, and at the first signal it would stop at once.
        started=lambda: _stop_on_signals(operator.stop),
    )


async def _outcome(task: asyncio.Task[None]) -> None:
    """End as the task does, without being it."""
    await asyncio.wait([task])
    task.result()


async def _for_ever(task: Coroutine[Any, Any, None], health: Health) -> None:
    await task
    if not health.stopping:
        raise TaskEnded(f"{task} has ended")


async def _resync(operator: Operator) -> None:
    while True:
        await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311
        keys = operator.parts.cache.services.keys()
        for key in keys:
            operator.queue.add(key)
            await asyncio.sleep(RESYNC_SPREAD_SECONDS / len(keys))


async def _retire(operator: Operator) -> None:
    parts = operator.parts
    await operator.watches.filled.wait()
    # At the end it is set whatever the cache holds, and then every profile would seem unused.
    while not operator.health.stopping:
        await retire(parts.profiles, parts.cache, parts.api.delete_profile, parts.now())
        await asyncio.sleep(RETIRE_SECONDS)


async def _kinds_are_served(operator: Operator) -> bool:
    """Wait for the CRDs; False when the process is to end first. kopf would only warn that they are
    not there, and then watch nothing for ever."""
    while not operator.stop.is_set():
        try:
            if await operator.parts.api.serves(OCR_SERVICE, PROFILE):
                return True
            log.warning("waiting for the CRDs of ocr-operator.dev/v1alpha1: they are not installed")
        except ApiError as error:
            log.warning("waiting for the API server: %s", error)
        try:
            async with asyncio.timeout(CRD_POLL_SECONDS):
                await operator.stop.wait()
        except TimeoutError:
            continue
    return False


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)


def _now() -> datetime:
    return datetime.now(UTC)
