"""One call to the VLM server: a picture and a prompt in, tokens and their probabilities out.

Streamed chat completions, as https://platform.openai.com/docs/api-reference/chat has them. Not with
OpenAI's library: it makes objects of every token (460 µs each, of which a GPU writes thousands a
second) and takes 4 ms to write a request, all of it on the loop that answers the probes.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ocr_inference.engine.plan import PROMPTS, VlmBlock
from ocr_inference.metrics import Metrics
from ocr_inference.vlm.key import KeyFile
from ocr_inference.vlm.repetition import CHECK_EVERY, repeated_from
from ocr_inference.vlm.retry import FAILED, SILENT, UNREACHABLE, VlmError, sentence, wait_of

CONNECT_S = 5.0
OK = 200

_DATA = "data:"
_END = "[DONE]"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server wrote. `confidence` is in 0..1, None without probabilities."""

    text: str
    confidence: float | None
    repeated: bool = False
    """It went on in a loop and was stopped; the text ends where the loop began."""
    too_long: bool = False
    """It reached the limit of tokens."""


class VlmClient:
    def __init__(self, url: str, model: str, key: KeyFile, metrics: Metrics) -> None:
        self._url = url.rstrip("/")
        self._model = model
        self._key = key
        self._metrics = metrics
        self._httpx: Any = None
        self._http: Any = None
        self._loaded = asyncio.Event()

    async def load(self) -> None:
        """Import what is needed, which takes a while: the server answers before."""
        self._httpx = httpx = await asyncio.to_thread(importlib.import_module, "httpx2")
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            # A proxy of the environment is not for a server on loopback; a redirect could take the
            # document elsewhere.
            trust_env=False,
            follow_redirects=False,
        )
        self._loaded.set()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def read(self, block: VlmBlock, picture: str, temperature: float = 0.0) -> Reply:
        """Read one block; `picture` is a data URL. Cancelled, it closes the stream.

        Raises `VlmError`.
        """
        await self._loaded.wait()
        body = self._request(block, picture, temperature)
        try:
            async with self._http.stream(
                "POST", f"{self._url}/chat/completions", json=body, headers=self._headers()
            ) as response:
                if response.status_code != OK:
                    status = response.status_code
                    raise VlmError(status, sentence(status), wait_of(response.headers))
                return await self._reply(block, _chunks(response.aiter_lines()))
        except (self._httpx.HTTPError, self._httpx.InvalidURL):
            raise VlmError(UNREACHABLE, "The VLM server cannot be reached.") from None
        except (AttributeError, LookupError, TypeError, ValueError):
            raise _malformed() from None

    async def get(self, url: str, within: float) -> int:
        """The status of an answer of the server. Raises `VlmError` when there is none in time."""
        try:
            async with asyncio.timeout(within):
                return int((await self._http.get(url, headers=self._headers())).status_code)
        except TimeoutError:
            raise VlmError(SILENT, f"The VLM server did not answer in {within:g} s.") from None
        except (self._httpx.HTTPError, self._httpx.InvalidURL):
            raise VlmError(UNREACHABLE, "The VLM server cannot be reached.") from None

    def _headers(self) -> dict[str, str]:
        key = self._key.current()
        return {} if key is None else {"Authorization": f"Bearer {key}"}

    def _request(self, block: VlmBlock, picture: str, temperature: float) -> dict[str, Any]:
        """As PaddleX's client asks, but streamed and with probabilities."""
        content = [
            {"type": "image_url", "image_url": {"url": picture}},
            {"type": "text", "text": block.prompt},
        ]
        return {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_completion_tokens": block.max_tokens,
            "temperature": temperature,
            "logprobs": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "skip_special_tokens": not block.keep_special_tokens,
            "mm_processor_kwargs": {
                "min_pixels": block.min_pixels,
                "max_pixels": block.max_pixels,
            },
        }

    async def _reply(self, block: VlmBlock, chunks: AsyncIterator[dict[str, Any]]) -> Reply:
        tokens: list[str] = []
        probabilities: list[float | None] = []
        checked, finished = 0, ""
        async for chunk in chunks:
            if usage := chunk.get("usage"):
                self._count(usage)
            for choice in chunk.get("choices", ()):
                finished = choice.get("finish_reason") or finished
                for token, logprob in _tokens(choice):
                    tokens.append(token)
                    probabilities.append(logprob)
            if len(tokens) - checked < CHECK_EVERY:
                continue
            checked = len(tokens)
            kept = repeated_from(tokens, table=block.prompt == PROMPTS["table"])
            if kept is not None:
                confidence = _confidence(probabilities[:kept])
                return Reply("".join(tokens[:kept]), confidence, repeated=True)
        if not finished:
            raise VlmError(UNREACHABLE, "The VLM server broke off in the middle of an answer.")
        confidence = _confidence(probabilities)
        return Reply("".join(tokens), confidence, too_long=finished == "length")

    def _count(self, usage: dict[str, Any]) -> None:
        for direction, name in (("in", "prompt_tokens"), ("out", "completion_tokens")):
            self._metrics.vlm_tokens.labels(direction).inc(usage.get(name) or 0)


async def _chunks(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    async for line in lines:
        if not line.startswith(_DATA):
            continue
        data = line[len(_DATA) :].strip()
        if data == _END:
            return
        try:
            chunk = json.loads(data)
        except ValueError:
            raise _malformed() from None
        if not isinstance(chunk, dict) or chunk.get("error"):
            raise VlmError(FAILED, "The VLM server failed in the middle of an answer.")
        yield chunk


def _tokens(choice: dict[str, Any]) -> list[tuple[str, float | None]]:
    """Text and log-probability of each token of a chunk."""
    text = (choice.get("delta") or {}).get("content") or ""
    entries = (choice.get("logprobs") or {}).get("content") or []
    if not entries:
        return [(text, None)] if text else []
    # A character of several tokens comes with the last of them, so the tokens' own texts may not
    # be what the server shows.
    pieces = [str(entry["token"]) for entry in entries]
    if "".join(pieces) != text:
        pieces = [*[""] * (len(entries) - 1), text]
    return [(piece, float(entry["logprob"])) for piece, entry in zip(pieces, entries, strict=True)]


def _confidence(logprobs: list[float | None]) -> float | None:
    """The geometric mean of the tokens' probabilities."""
    known = [logprob for logprob in logprobs if logprob is not None and math.isfinite(logprob)]
    return min(1.0, math.exp(fmean(known))) if known else None


def _malformed() -> VlmError:
    return VlmError(FAILED, "The VLM server's answer is malformed.")
