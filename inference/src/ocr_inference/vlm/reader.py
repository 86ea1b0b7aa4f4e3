"""A page whose blocks the VLM server reads: planned, read, finished."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ocr_inference.engine.plan import BlockAnswer, VlmBlock
from ocr_inference.engine.pool import EnginePool
from ocr_inference.engine.supervisor import RawPage
from ocr_inference.engine.wire import Message
from ocr_inference.errors import DISK_FULL, PublicError, storage_full
from ocr_inference.pipeline.page import Task
from ocr_inference.vlm.blocks import BlockReader, BlockReading, total
from ocr_inference.vlm.pool import BlockPool, PageRoom, PageShare
from ocr_inference.vlm.retry import RETRY_AFTER_S, VlmError
from ocr_inference.workspace import Workspace

_NOTICES = {
    "block_failed": "{} of the blocks could not be read and are left empty.",
    "repetition_truncated": "The model repeated itself in {} of the blocks; they were cut.",
    "block_truncated": "{} of the blocks reached the limit of tokens and were cut.",
}
LONGEST_CALL_S = 60.0
"""An engine plans and finishes a page in a second or two; one that takes so long hangs."""

_FAILED = BlockReading(BlockAnswer("", 0.0), "block_failed")


class VlmReader:
    def __init__(self, blocks: BlockReader, concurrency: int, workspace: Workspace) -> None:
        self._blocks = blocks
        self._pool = BlockPool(concurrency)
        self._room = PageRoom(concurrency)
        self._workspace = workspace

    @property
    def pages(self) -> int:
        """How many pages are worth being read at the same time."""
        return self._room.pages

    @property
    def pages_now(self) -> int:
        return self._room.now

    async def read(
        self,
        engines: EnginePool,
        image: RawPage,
        languages: tuple[str, ...],
        task: Task,
        deadline: float,
    ) -> Message:
        """The page's `PageText` as it crosses. Cancelled, it closes the page's streams.

        Raises `PublicError`: what the engine says, 502 engine_error, 503 engine_unavailable, 504
        deadline_exceeded.
        """

        async def call(op: str, **arguments: Any) -> Message:
            within = min(LONGEST_CALL_S, deadline - time.monotonic())
            return await engines.call(
                op, image, within, languages=languages, task=task, **arguments
            )

        async with self._room.page() as share:
            with self._crops() as crops:
                plan = await call("plan", crops=str(crops))
                blocks = [VlmBlock(**block) for block in plan["blocks"]]
                readings = await self._read_blocks(blocks, crops, share)
            answers = [asdict(reading.answer) for reading in readings]
            page = await call("finish", state=plan["state"], answers=answers)
        tokens = total(reading.tokens for reading in readings)
        return {
            **page,
            "notices": [*page["notices"], *_notices(readings)],
            "tokens": tokens and asdict(tokens),
        }

    @contextmanager
    def _crops(self) -> Iterator[Path]:
        """A file for the pictures of a page's blocks. The engine makes none: it may come late, when
        all was tidied."""
        path = self._workspace.new_path(".crops")
        try:
            path.touch()
            yield path
        except OSError as error:
            if error.errno in DISK_FULL:
                raise storage_full() from error
            raise
        finally:
            path.unlink(missing_ok=True)

    async def _read_blocks(
        self, blocks: Sequence[VlmBlock], crops: Path, share: PageShare
    ) -> list[BlockReading]:
        share.needs(len(blocks))
        left = len(blocks)
        errors: list[VlmError] = []

        async def one(block: VlmBlock) -> BlockReading:
            nonlocal left
            async with self._pool.slot(share):
                # Only now: the pictures of the blocks that wait are not in memory.
                picture = await asyncio.to_thread(_data_url, crops, block)
                try:
                    reading = await self._blocks.read(block, picture)
                except VlmError as error:
                    if error.of_server or error.of_settings:
                        raise  # the page's other blocks would fare no better
                    errors.append(error)
                    reading = _FAILED
            left -= 1
            share.needs(left)
            return reading

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(block)) for block in blocks]
        except* VlmError as failed:
            raise _page_error(failed.exceptions[0]) from None
        if errors and len(errors) == len(blocks):
            raise _page_error(errors[0])
        return [task.result() for task in tasks]


def _data_url(crops: Path, block: VlmBlock) -> str:
    with crops.open("rb") as file:
        file.seek(block.offset)
        picture = file.read(block.length)
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode('ascii')}"


def _notices(readings: Sequence[BlockReading]) -> list[Message]:
    cuts = Counter(reading.cut for reading in readings if reading.cut is not None)
    return [{"code": code, "message": _NOTICES[code].format(n)} for code, n in cuts.items()]


def _page_error(error: BaseException) -> PublicError:
    if isinstance(error, VlmError) and error.of_server:
        after = RETRY_AFTER_S if error.wait is None else max(1, round(error.wait))
        return PublicError(503, "engine_unavailable", str(error), retry_after=after)
    return PublicError(502, "engine_error", str(error))
