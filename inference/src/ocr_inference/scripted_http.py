"""A hung HTTP process, for tests of probes: only the model `scripted` knows how to hang.

`OCR_SCRIPT` may hold `"http": {"block_after_seconds": x}`: x seconds after the start the event loop
stops for ever.
"""

from __future__ import annotations

import asyncio
import json
import time

from ocr_inference.settings import Settings

_FOR_EVER_S = 10**9


def split_script(settings: Settings) -> tuple[str, float | None]:
    """The engine's part of the script, and the seconds after which the loop is to hang."""
    if settings.model != "scripted" or not settings.script:
        return settings.script, None
    try:
        script = json.loads(settings.script)
    except ValueError:
        script = None
    if not isinstance(script, dict) or "http" not in script:
        return settings.script, None  # the engine says what is wrong with it
    seconds = script.pop("http")["block_after_seconds"]
    return json.dumps(script), float(seconds)


def hang_after(seconds: float) -> None:
    asyncio.get_running_loop().call_later(seconds, time.sleep, _FOR_EVER_S)
