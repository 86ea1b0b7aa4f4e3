"""A block until it is read: tries, its deadline, loops."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ocr_inference.engine.plan import BlockAnswer, VlmBlock
from ocr_inference.metrics import Metrics
from ocr_inference.pipeline.page import Tokens
from ocr_inference.vlm.client import Reply, VlmClient
from ocr_inference.vlm.retry import FAILED, LONGEST_WAIT_S, VlmError, waits

SECOND_TEMPERATURE = 0.6
"""Enough to leave the loop that the likeliest words lead into."""


@dataclass(frozen=True, slots=True)
class BlockReading:
    answer: BlockAnswer
    cut: str | None = None
    """The code of the notice, where the text does not hold all that is in the block."""
    tokens: Tokens | None = None
    """Of all tries, as far as the server said."""


def total(told: Iterable[Tokens | None]) -> Tokens | None:
    """None where nobody said."""
    known = [tokens for tokens in told if tokens is not None]
    return sum(known, Tokens(0, 0)) if known else None


class BlockReader:
    def __init__(self, client: VlmClient, timeout: float, metrics: Metrics) -> None:
        """`timeout` is of one block with all of its tries, in seconds."""
        self._client = client
        self._timeout = timeout
        self._metrics = metrics

    async def read(self, block: VlmBlock, picture: str) -> BlockReading:
        """Raises `VlmError` when the last try has failed."""
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._reply(block, picture)
        except TimeoutError:
            self._metrics.vlm_blocks.labels("timeout").inc()
            # It may be this block alone that takes so long.
            message = f"The VLM server did not read a block in {self._timeout:g} s."
            raise VlmError(FAILED, message) from None
        except VlmError:
            self._metrics.vlm_blocks.labels("failed").inc()
            raise
        self._metrics.vlm_blocks.labels("read").inc()
        cut = "repetition_truncated" if reply.repeated else None
        if reply.too_long:
            cut = "block_truncated"
        return BlockReading(BlockAnswer(reply.text, reply.confidence), cut, reply.tokens)

    async def _reply(self, block: VlmBlock, picture: str) -> Reply:
        first = await self._tried(block, picture, 0.0)
        if not first.repeated:
            return first
        second = await self._tried(block, picture, SECOND_TEMPERATURE)
        best = second
        if second.repeated:
            best = max(first, second, key=lambda reply: len(reply.text))
        return replace(best, tokens=total((first.tokens, second.tokens)))

    async def _tried(self, block: VlmBlock, picture: str, temperature: float) -> Reply:
        pauses = waits()
        while True:
            try:
                reply = await self._client.read(block, picture, temperature)
            except VlmError as error:
                pause = next(pauses, None)
                if pause is None or not error.passes:
                    raise
                if error.wait is not None:
                    pause = error.wait
                if pause > LONGEST_WAIT_S:
                    raise
                self._metrics.vlm_blocks.labels("retried").inc()
                await asyncio.sleep(pause)
            else:
                if reply.repeated:
                    self._metrics.repetition_aborts.inc()
                return reply
