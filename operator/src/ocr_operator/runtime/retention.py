"""Deletes the profiles that have outlived their use: the only thing the operator ever deletes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from ocr_operator.core.learn import start_key
from ocr_operator.core.written import read_status
from ocr_operator.runtime.cache import Cache
from ocr_operator.runtime.errors import ApiError, Conflict, NotFound
from ocr_operator.runtime.profiles import ProfileStore
from ocr_operator.startup.retention import expired
from ocr_operator.startup.sample import StartKey

log = logging.getLogger(__name__)


async def retire(
    profiles: ProfileStore,
    cache: Cache,
    delete: Callable[[Mapping[str, str]], Awaitable[None]],
    now: datetime,
) -> None:
    """Delete what has expired. What cannot be deleted is tried again the next time."""
    used = await _in_use(profiles, cache)
    for key in expired(profiles.everything(), used, now):
        stored = profiles.stored(key)
        if stored is None:
            continue
        try:
            await delete(stored.metadata)
        except (Conflict, NotFound):
            continue  # written a moment ago, so it is of use, or gone already
        except ApiError as error:
            log.warning("profiles that have expired were not deleted: %s", error)
            return
        log.info(
            "profile deleted: no use of it for long", extra={"profile": stored.metadata["name"]}
        )


async def _in_use(profiles: ProfileStore, cache: Cache) -> set[StartKey]:
    """Keys that a status names, for what is suspended say, and those of containers that are there:
    the start of one would be measured again."""
    present = {pod.container_id for pod in cache.pods.items()}
    used = {
        profile.key
        for profile in profiles.everything()
        if any(start.container_id in present for start in profile.starts)
    }
    for name in cache.services.keys():  # noqa: SIM118 - a list: it changes meanwhile
        service = cache.service(name)
        startup = read_status(service.status).startup if service else None
        if startup is not None and startup.key is not None:
            used.add(start_key(startup.key))
        # A thousand of them take a third of a second.
        await asyncio.sleep(0)
    return used
