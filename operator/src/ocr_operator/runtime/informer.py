"""kopf runs as the informer: it lists, watches and calls the handlers; it decides and writes
nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import kopf

from ocr_operator.api.v1alpha1 import GROUP
from ocr_operator.core.observed import Key
from ocr_operator.runtime.connection import Login
from ocr_operator.runtime.handlers import Watched, register
from ocr_operator.runtime.stateless import NoDiffBase, NoProgress
from ocr_operator.runtime.watches import SERVER_TIMEOUT_SECONDS, WatchMonitor
from ocr_operator.runtime.workqueue import WorkQueue

LIST_CHUNK = 100
"""Objects a page. With the usual 500 the parsed pages of Deployments, which carry their rendered
template, cost 15 MiB more."""
IDLE_SECONDS = 0.1
"""How long kopf keeps a task for an object after its last event. With its default of 5 s a start
with 1,000 OcrServices holds 4,000 of them, and what they parsed, at the same time."""


class WatchingEnded(RuntimeError):
    """A watch, or something of kopf that it needs, has failed. Tasks of kopf are left behind that
    cannot be cancelled: the process has to end without waiting for them."""


async def inform(
    kinds: tuple[Watched, ...],
    namespaces: tuple[str, ...],
    queue: WorkQueue[Key],
    watches: WatchMonitor,
    login: Login,
    stop: asyncio.Event,
    started: Callable[[], None],
) -> None:
    """Watch the kinds in the namespaces, or everywhere, until `stop`. To be started as the last
    task: kopf cancels all that began after it when it ends. Raises `WatchingEnded`. `started` is
    called when kopf has taken over the signals of the process, so that they can be taken back."""
    registry = kopf.OperatorRegistry()
    register(registry, kinds, queue, watches)
    kopf.on.login(id="login", registry=registry)(login.login)
    watches.expect(*((kind.plural, name) for kind in kinds for name in namespaces or (None,)))
    before = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(kinds),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )
    started()
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        # Not `run_tasks`: after a failed watch it stops the logins first, the other watches then
        # wait for a login that never comes, and it waits for them for ever (kopf 1.45.2).
        raise WatchingEnded from next((task.exception() for task in done), None)
    await kopf.run_tasks(tasks, ignored=before)


def kopf_settings(kinds: tuple[Watched, ...]) -> kopf.OperatorSettings:
    """Quiet and bounded. No limit of kopf's tasks: each would hold its place while it is idle."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.persistence.finalizer = f"{GROUP}/unused"
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.persistence.progress_storage = NoProgress()
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    settings.watching.chunk_size = LIST_CHUNK
    settings.queueing.idle_timeout = IDLE_SECONDS
    # kopf would kill the process that long after it began to stop; the kubelet has its own
    # deadline.
    settings.process.ultimate_exiting_timeout = None
    for kind in kinds:
        resource = (kind.group, kind.version, kind.plural)
        if kind.labels:
            settings.watching.label_selectors[resource] = kind.labels
        if kind.fields:
            settings.watching.field_selectors[resource] = kind.fields
    return settings
