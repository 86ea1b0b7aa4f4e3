"""How the VLM server is, asked beside the requests: a probe of ours never waits for it."""

from __future__ import annotations

import asyncio
import logging
import time

from ocr_inference.engine.plan import PROMPTS, VlmBlock
from ocr_inference.errors import PublicError
from ocr_inference.vlm.client import VlmClient
from ocr_inference.vlm.retry import RETRY_AFTER_S, SILENT, VlmError, sentence

log = logging.getLogger("ocr_inference.vlm")

POLL_EVERY_S = 2.0
ANSWER_WITHIN_S = 2.0
WARM_WITHIN_S = 120.0
"""A server may compile for its first pictures."""

DOWN_AFTER = 3
"""Silences in a row: a busy server may miss one, and a pod is not to lose its traffic for that."""

WARM_PICTURE = (
    "data:image/jpeg;base64,"
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQ"
    "c1tdhbWGkJ6jq62rZ4C8ybqmx5moq6T/wAALCAA4ADgBAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAb/xAAUEAEA"
    "AAAAAAAAAAAAAAAAAAAA/9oACAEBAAA/AKYAAAAAAAAAAAAAAAB//9k="
)
"""A white square, 56 pixels wide."""

WARM_TOKENS = 8


class VlmHealth:
    """`up` once the server has answered and was warmed; `reason` says why it is not."""

    def __init__(self, client: VlmClient, url: str, model: str) -> None:
        self.model = model
        self._client = client
        base = url.rstrip("/")
        # vLLM's own route is beside the API; other servers have only the API.
        self._urls = (f"{base.removesuffix('/v1')}/health", f"{base}/models")
        self.up = False
        self.was_up = False
        self.latency_ms: float | None = None
        self.reason: str | None = "The VLM server has not answered yet."
        self._silences = 0
        self._warm = False

    def check_can_read(self) -> None:
        """Refuse pages that no server would read: `PublicError` 503."""
        if not self.up:
            code = "engine_unavailable" if self.was_up else "not_ready"
            raise PublicError(503, code, str(self.reason), retry_after=RETRY_AFTER_S)

    async def run(self) -> None:
        while True:
            try:
                await self.check()
            except Exception:
                log.exception("the VLM server's health could not be asked")
            await asyncio.sleep(POLL_EVERY_S)

    async def check(self) -> None:
        began = time.monotonic()
        try:
            await self._ask()
            self.latency_ms = round((time.monotonic() - began) * 1000, 1)
            if not self._warm:
                await self._warm_up()
        except VlmError as error:
            self._failed(error)
        else:
            if not self.up:
                log.info("the VLM server is up")
            self.up = self.was_up = True
            self.reason, self._silences = None, 0

    async def _ask(self) -> None:
        for url in self._urls:
            status = await self._client.get(url, ANSWER_WITHIN_S)
            if status < 300:
                return
            if status not in (401, 403, 404, 405):
                break
        raise VlmError(status, sentence(status))

    async def _warm_up(self) -> None:
        """One small picture for each task, so that no client pays for what is made at first use."""
        try:
            async with asyncio.timeout(WARM_WITHIN_S):
                for prompt in PROMPTS.values():
                    block = VlmBlock(0, 0, prompt, WARM_TOKENS, 112896, 1003520)
                    await self._client.read(block, WARM_PICTURE)
        except TimeoutError:
            raise VlmError(SILENT, "The VLM server did not read the warm-up.") from None
        self._warm = True

    def _failed(self, error: VlmError) -> None:
        self._silences += 1
        if self.up and error.status == SILENT and self._silences < DOWN_AFTER:
            return
        if self.up or self.reason != str(error):
            log.warning("the VLM server is down: %s", error)
        self.up = self._warm = False
        self.latency_ms, self.reason = None, str(error)
