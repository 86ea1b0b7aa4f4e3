"""The process: reads the environment, sets up the logs, runs the app and turns its end into an exit
code."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from importlib.resources import files
from typing import NoReturn

from pydantic import ValidationError

from ocr_operator.app import run
from ocr_operator.core.plan import Policy
from ocr_operator.runtime.logs import configure
from ocr_operator.settings import Settings
from ocr_operator.startup.catalogue import read_catalogue

BAD_SETTINGS = 2
"""Exit code: starting again will not help."""

log = logging.getLogger("ocr_operator")


def read_policy(settings: Settings) -> Policy:
    """What the installation decides. Raises `ValueError` or `OSError` when it cannot be read."""
    shipped = files("ocr_operator.startup").joinpath("catalogue.yaml").read_text("utf-8")
    extra = settings.catalogue_extra.read_text("utf-8") if settings.catalogue_extra else ""
    images = {"cpu": settings.image_cpu, "gpu": settings.image_gpu}
    return Policy(
        catalogue=read_catalogue(shipped, extra),
        images={key: image for key, image in images.items() if image},
        image_pull_policy=settings.image_pull_policy,
    )


async def run_and_exit(settings: Settings, policy: Policy) -> NoReturn:
    """Run, and end the process from within: the event loop cannot be closed in the ordinary way,
    because that would wait for tasks of kopf that do not always end."""
    code = 0
    try:
        await run(settings, policy)
    except Exception:
        log.critical("the operator ends", exc_info=True)
        code = 1
    else:
        log.info("stopped")
    logging.shutdown()
    os._exit(code)


def main() -> None:
    """Run the operator. 0 after SIGTERM, 2 for settings that cannot be used, 1 for everything
    else."""
    try:
        settings = Settings()
        policy = read_policy(settings)
    except (ValidationError, ValueError, OSError) as error:
        print(f"ocr-operator: the settings cannot be used: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(BAD_SETTINGS)
    configure(settings.log_level)
    asyncio.run(run_and_exit(settings, policy))


if __name__ == "__main__":
    main()
