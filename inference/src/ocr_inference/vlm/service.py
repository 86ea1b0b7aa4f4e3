"""The parts of the client, put together."""

from __future__ import annotations

import asyncio

from ocr_inference.engine.paddle_weights import PIPELINES
from ocr_inference.engine.registry import MODELS
from ocr_inference.metrics import Metrics
from ocr_inference.settings import Settings
from ocr_inference.vlm.blocks import BlockReader
from ocr_inference.vlm.client import VlmClient
from ocr_inference.vlm.health import VlmHealth
from ocr_inference.vlm.key import KeyFile
from ocr_inference.vlm.reader import VlmReader
from ocr_inference.workspace import Workspace


class Vlm:
    """`run` is its life, `reader` reads pages, `health` says how the server is."""

    def __init__(self, settings: Settings, workspace: Workspace, metrics: Metrics) -> None:
        self.model = served_name(settings)
        key = KeyFile(settings.vlm_key_dir)
        self._client = VlmClient(settings.vlm_url, self.model, key, metrics)
        self._begun = asyncio.Event()
        self.health = VlmHealth(self._client, settings.vlm_url, self.model)
        blocks = BlockReader(self._client, settings.vlm_block_timeout_s, metrics)
        self.reader = VlmReader(blocks, settings.vlm_concurrency, workspace)
        metrics.watch_vlm(lambda: self.health.up)

    def begin(self) -> None:
        """This process answers: what it needs for pages alone may now be imported."""
        self._begun.set()

    async def run(self) -> None:
        await self._begun.wait()
        await self._client.load()
        try:
            await self.health.run()
        finally:
            await self._client.close()


def make_vlm(settings: Settings, workspace: Workspace, metrics: Metrics) -> Vlm | None:
    """None where the model runs in the engine child."""
    return None if settings.backend == "native" else Vlm(settings, workspace, metrics)


def served_name(settings: Settings) -> str:
    """What the server is asked for; an unknown version is the engine's to refuse."""
    if settings.vlm_model or settings.model != "paddleocr-vl":
        return settings.vlm_model or settings.model
    version = settings.model_version or MODELS[settings.model].versions[0]
    return PIPELINES[version].language if version in PIPELINES else settings.model
