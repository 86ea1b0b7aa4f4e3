"""`ocr-inference serve` and `ocr-inference read FILE`.

Imports are late on purpose: the engine child is started before the HTTP libraries are imported.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from ocr_inference.settings import Settings

app = typer.Typer(
    help="OCR server and reader.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

EXIT_CONFIGURATION = 2


@app.command()
def serve() -> None:
    """Serve HTTP. Settings come from the environment (OCR_*)."""
    from ocr_inference import logs
    from ocr_inference.engine.cpu import cpu_limit
    from ocr_inference.engine.spawn import engine_spawner
    from ocr_inference.scripted_http import split_script
    from ocr_inference.startup import process_began

    logs.configure()
    settings = _settings()
    limit = cpu_limit()
    script, hang_after = split_script(settings)
    spawn = engine_spawner(settings, script, limit)
    spawned, first = time.monotonic(), spawn()

    from ocr_inference.server import Start, run

    run(settings, Start(process_began(), limit, spawn, first, spawned, hang_after))


@app.command()
def read(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)],
    output: Annotated[Literal["text", "markdown", "json"], typer.Option()] = "text",
) -> None:
    """Read documents without a server and print what they say."""
    from ocr_inference.read import read_files

    raise typer.Exit(read_files(files, output, _settings()))


@app.command()
def fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="https://…, s3://bucket/prefix, hf://owner/name[@revision], or a model's name: "
            "paddleocr-vl[:1.5]."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder; by default where the engine looks."),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="Checksum of a source that is one file.")
    ] = None,
    idle_timeout: Annotated[
        float, typer.Option(min=0.5, help="Seconds without a byte after which it ends.")
    ] = 60.0,
) -> None:
    """Get weights: resumed where it broke off, checked, and put in place whole."""
    from ocr_inference.command.fetch import fetch_weights

    raise typer.Exit(fetch_weights(source, to, sha256, idle_timeout, _settings()))


def _settings() -> Settings:
    from pydantic import ValidationError

    from ocr_inference.settings import Settings, settings_sentence

    try:
        return Settings()
    except ValidationError as error:
        print(f"ocr-inference: {settings_sentence(error)}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(EXIT_CONFIGURATION) from None
