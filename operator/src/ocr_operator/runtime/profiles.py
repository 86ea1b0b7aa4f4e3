"""Measured starts on their way into OcrStartupProfiles: visible at once, written a little later.

A start is written by applying the whole profile, merged with the newest one the watch has shown. It
stays pending until the watch shows it, so a failed or lost write loses nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ocr_operator.core.observed import Key
from ocr_operator.runtime.cache import Store
from ocr_operator.runtime.errors import ApiError
from ocr_operator.runtime.views import version_of
from ocr_operator.runtime.workqueue import WorkQueue
from ocr_operator.startup.profile import (
    Profile,
    profile_manifest,
    profile_name,
    read_profile,
    record,
)
from ocr_operator.startup.sample import Start, StartKey

log = logging.getLogger(__name__)

Body = Mapping[str, Any]

WRITE_INTERVAL_SECONDS = 5.0
"""Between two writes of one profile: a thousand pods of one model that start together are a few
writes."""
IDENTITY = ("namespace", "name", "uid", "resourceVersion")
"""Which version of which object."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A profile as the API server has it."""

    profile: Profile
    metadata: Mapping[str, str]
    """Those of `IDENTITY`."""


class ProfileStore:
    """Profiles of the operator's namespace with the starts recorded since."""

    def __init__(
        self,
        namespace: str,
        write: Callable[[dict[str, Any]], Awaitable[Body]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._namespace = namespace
        self._send = write
        self._clock = clock
        self.watched: Store[Stored] = Store(clock)
        self.queue: WorkQueue[StartKey] = WorkQueue(clock)
        self._pending: dict[StartKey, dict[str, Start]] = {}
        self._merged: dict[StartKey, Profile] = {}
        """What `_profile` made, until something of it changes."""
        self._unwritten: set[StartKey] = set()
        self._written_at: dict[StartKey, float] = {}

    def put(self, body: Body) -> None:
        """See a profile, from the watch or as the answer to a write."""
        metadata = body["metadata"]
        if metadata["namespace"] != self._namespace:
            return
        profile = read_profile(body)
        name = metadata["name"]
        if profile is None or profile_name(profile.key) != name:
            log.warning(
                "OcrStartupProfile does not count: unreadable, or not named by its key",
                extra={"profile": name},
            )
            return
        stored = Stored(profile, {field: metadata[field] for field in IDENTITY})
        self.watched.put(metadata["uid"], Key(self._namespace, name), version_of(body), stored)
        self._merged.pop(profile.key, None)
        self._prune(profile.key)

    def drop(self, uid: str, version: int) -> None:
        """The profile was deleted."""
        self.watched.drop(uid, version)
        self._merged.clear()

    def sweep(self, before: float, namespace: str | None) -> set[Key]:
        """Forget profiles that were last seen before that time."""
        self._merged.clear()
        return self.watched.sweep(before, namespace)

    def record(self, key: StartKey, start: Start) -> bool:
        """Take a start; False when it is known already, or older than what the profile dropped."""
        before = self._profile(key)
        after = record(before, start)
        if after is before:
            return False
        self._merged[key] = after
        self._pending.setdefault(key, {})[start.container_id] = start
        self._unwritten.add(key)
        self.queue.schedule(key, self._wait(key))
        return True

    def of_model(self, model: str) -> tuple[Profile, ...]:
        """All profiles of the model, pending starts included."""
        return tuple(self._profile(key) for key in sorted(self._keys()) if key.model == model)

    def everything(self) -> tuple[Profile, ...]:
        """All profiles, pending starts included."""
        return tuple(self._profile(key) for key in sorted(self._keys()))

    def stored(self, key: StartKey) -> Stored | None:
        """The profile of the key as it was last seen; None when it was never written."""
        return next(iter(self.watched.get(Key(self._namespace, profile_name(key)))), None)

    async def run(self) -> None:
        """Write what is due until the queue is closed."""
        while (key := await self.queue.get()) is not None:
            try:
                await self.write(key)
            except Exception as error:  # of one key, and never the end of the others
                delay = self.queue.failed(key)
                log.warning(
                    "starts were not written, they are kept",
                    extra={"profile": profile_name(key), "error": str(error), "retry_in": delay},
                )
            else:
                self.queue.done(key)

    async def flush_all(self) -> None:
        """Write everything that is not written, once, before the process ends."""
        for key in sorted(self._unwritten):
            try:
                await self.write(key)
            except ApiError as error:
                log.warning(
                    "starts were not written and are lost",
                    extra={"profile": profile_name(key), "error": str(error)},
                )

    async def write(self, key: StartKey) -> None:
        """Write the profile as it is now. Raises an `ApiError`; the starts are kept."""
        profile = self._profile(key)
        # Starts recorded while the write is under way make the key unwritten again.
        self._unwritten.discard(key)
        self._written_at[key] = self._clock()
        try:
            answer = await self._send(profile_manifest(profile, self._namespace))
        except BaseException:
            self._unwritten.add(key)
            raise
        log.info(
            "profile written",
            extra={"profile": profile_name(key), "starts": len(profile.starts)},
        )
        self.put(answer)
        if key in self._unwritten:
            self.queue.schedule(key, self._wait(key))

    def _wait(self, key: StartKey) -> float:
        return self._written_at.get(key, float("-inf")) + WRITE_INTERVAL_SECONDS - self._clock()

    def _profile(self, key: StartKey) -> Profile:
        if key not in self._merged:
            self._merged[key] = self._merge(key)
        return self._merged[key]

    def _merge(self, key: StartKey) -> Profile:
        profile = self._shown(key) or Profile(key)
        pending = self._pending.get(key, {}).values()
        for start in sorted(pending, key=lambda start: start.started_at):
            profile = record(profile, start)
        return profile

    def _shown(self, key: StartKey) -> Profile | None:
        stored = self.stored(key)
        return stored.profile if stored else None

    def _keys(self) -> set[StartKey]:
        return {stored.profile.key for stored in self.watched.items()} | self._pending.keys()

    def _prune(self, key: StartKey) -> None:
        """Forget pending starts that the profile holds, or has dropped already."""
        shown = self._shown(key)
        pending = self._pending.get(key, {})
        if shown is None:
            return
        for start in list(pending.values()):
            if record(shown, start) is shown:
                del pending[start.container_id]
        if not pending:
            self._pending.pop(key, None)
