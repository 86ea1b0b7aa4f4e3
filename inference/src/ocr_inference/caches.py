"""Where weights and caches are, in a container and on a person's machine."""

from __future__ import annotations

import os
from pathlib import Path

from ocr_inference.settings import Settings


def cache_dir(settings: Settings) -> Path:
    """The container's cache, or the user's where there is no container."""
    wanted = settings.cache_dir
    # Not whether it can be written: weights may be on a volume that is only read.
    if "cache_dir" in settings.model_fields_set or wanted.is_dir():
        return wanted
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ocr-inference"
