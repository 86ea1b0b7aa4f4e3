"""One call to the VLM server: a picture and a prompt in, tokens and their probabilities out.

Streamed chat completions, as https://platform.openai.com/docs/api-reference/chat has them. All of
it is on the loop that answers the probes, and a GPU writes thousands of tokens a second: so the
HTTP library is one whose parser is compiled, and no objects are made of a token.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ocr_inference.engine.plan import PROMPTS, VlmBlock
from ocr_inference.metrics import Metrics
from ocr_inference.pipeline.page import Tokens
from ocr_inference.vlm.key import KeyFile
from ocr_inference.vlm.repetition import CHECK_EVERY, repeated_from
from ocr_inference.vlm.retry import FAILED, SILENT, UNREACHABLE, VlmError, sentence, wait_of

CONNECT_S = 5.0
OK = 200

KEEP_ALIVE_S = 4.0
"""uvicorn, which vLLM runs on, closes an idle connection after 5 s: never use one it is closing."""

LONGEST_EVENT_BYTES = 4 * 1024 * 1024
"""Ten times `MOST_TOKENS` with their probabilities at once."""

_DATA = b"data:"
_END = b"[DONE]"
_PICTURE = "the picture"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server wrote. `confidence` is in 0..1, None without probabilities."""

    text: str
    confidence: float | None
    repeated: bool = False
    """It went on in a loop and was stopped; the text ends where the loop began."""
    too_long: bool = False
    """It reached the limit of tokens."""
    tokens: Tokens | None = None
    """None where the server did not say: what is stopped ends before it does."""


class VlmClient:
    def __init__(self, url: str, model: str, key: KeyFile, metrics: Metrics) -> None:
        self._url = url.rstrip("/")
        self._model = model
        self._key = key
        self._metrics = metrics
        self._aiohttp: Any = None
        self._http: Any = None
        self._loaded = asyncio.Event()

    async def load(self) -> None:
        """Import what is needed, which takes a while: the server answers before."""
        self._aiohttp = aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
        # Proxies of the environment are not asked, as that is the default: they are not for a
        # server on loopback.
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._loaded.set()

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def read(self, block: VlmBlock, picture: str, temperature: float = 0.0) -> Reply:
        """Read one block; `picture` is a data URL. Cancelled, it closes the stream.

        Raises `VlmError`.
        """
        await self._loaded.wait()
        body = self._request(block, picture, temperature)
        try:
            async with self._ask("POST", f"{self._url}/chat/completions", body) as response:
                if response.status != OK:
                    status = response.status
                    raise VlmError(status, sentence(status), wait_of(response.headers))
                return await self._reply(block, _chunks(response.content.iter_any()))
        except self._aiohttp.ClientError:
            raise VlmError(UNREACHABLE, "The VLM server cannot be reached.") from None
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError):
            raise _malformed() from None

    async def get(self, url: str, within: float) -> int:
        """The status of an answer of the server. Raises `VlmError` when there is none in time."""
        try:
            async with asyncio.timeout(within), self._ask("GET", url) as response:
                return int(response.status)
        except TimeoutError:
            raise VlmError(SILENT, f"The VLM server did not answer in {within:g} s.") from None
        except (self._aiohttp.ClientError, ValueError):
            raise VlmError(UNREACHABLE, "The VLM server cannot be reached.") from None

    def _ask(self, method: str, url: str, body: bytes | None = None) -> Any:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if (key := self._key.current()) is not None:
            headers["Authorization"] = f"Bearer {key}"
        # In pieces: a large body at once would hold the loop.
        data = None if body is None else io.BytesIO(body)
        # A redirect could take the document elsewhere.
        return self._http.request(method, url, data=data, headers=headers, allow_redirects=False)

    def _request(self, block: VlmBlock, picture: str, temperature: float) -> bytes:
        """As PaddleX's client asks, but streamed and with probabilities."""
        content = [
            {"type": "image_url", "image_url": {"url": _PICTURE}},
            {"type": "text", "text": block.prompt},
        ]
        asked = {
            "messages": [{"role": "user", "content": content}],
            "model": self._model,
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
        # Put in as it is: base64 has nothing that JSON escapes, and to look for it takes longer
        # than all the rest.
        return json.dumps(asked).replace(f'"{_PICTURE}"', f'"{picture}"', 1).encode("ascii")

    async def _reply(self, block: VlmBlock, chunks: AsyncIterator[dict[str, Any]]) -> Reply:
        tokens: list[str] = []
        probabilities: list[float | None] = []
        checked, finished, used = 0, "", None
        async for chunk in chunks:
            # Some say it with every chunk, as of then.
            used = chunk.get("usage") or used
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
                text = "".join(tokens[:kept])
                return Reply(text, confidence, repeated=True, tokens=self._count(used))
        if not finished:
            raise VlmError(UNREACHABLE, "The VLM server broke off in the middle of an answer.")
        confidence = _confidence(probabilities)
        text, too_long = "".join(tokens), finished == "length"
        return Reply(text, confidence, too_long=too_long, tokens=self._count(used))

    def _count(self, usage: dict[str, Any] | None) -> Tokens | None:
        if usage is None:
            return None
        told = Tokens(
            int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        )
        for direction, count in (("in", told.input), ("out", told.output)):
            self._metrics.vlm_tokens.labels(direction).inc(count)
        return told


async def _chunks(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    rest = b""
    # To the end of the response, which comes right after the last event: only then its connection
    # is there for the next request.
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_EVENT_BYTES:
            raise _malformed()
        for line in lines:
            if line.startswith(_DATA) and (data := line[len(_DATA) :].strip()) != _END:
                yield _chunk(data)


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        chunk = json.loads(str(data, "utf-8"))
    except ValueError:
        raise _malformed() from None
    if not isinstance(chunk, dict) or chunk.get("error"):
        raise VlmError(FAILED, "The VLM server failed in the middle of an answer.")
    return chunk


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
