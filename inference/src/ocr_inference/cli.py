"""The command line: `serve`, `read`, `bench` and `fetch`.

Imports are late on purpose: the engine child is started before the HTTP libraries are imported.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from ocr_inference.settings import Settings

app = typer.Typer(
    help="OCR server and reader.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

EXIT_CONFIGURATION = 2


class _Command(TyperCommand):
    """Says what is wrong with a flag in plain words, and not in those of a library for data."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            words = error.message.removeprefix("Value error, ")
            error.message = words.replace("Input should be", "it should be")
            raise


def _folder(value: Path | None) -> Path | None:
    if value is not None and value.is_file():
        raise typer.BadParameter(f"{value} is a file, and a folder is wanted.")
    return value


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def _version(asked: bool) -> None:
    if asked:
        from ocr_inference.version import VERSION

        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    """OCR server and reader."""


@app.command(cls=_Command)
def serve() -> None:
    """Serve HTTP. Settings come from the environment (OCR_*)."""
    # Until the server listens next to nothing is garbage: looking for it is a tenth of the start.
    gc.disable()
    from ocr_inference import logs
    from ocr_inference.caches import cache_dir
    from ocr_inference.engine.cpu import cpu_limit
    from ocr_inference.engine.spawn import engine_spawner
    from ocr_inference.scripted_http import split_script
    from ocr_inference.startup import process_began

    logs.configure()
    settings = _settings()
    settings = settings.model_copy(update={"cache_dir": cache_dir(settings)})
    limit = cpu_limit()
    script, hang_after = split_script(settings)
    spawn = engine_spawner(settings, script, limit)
    spawned, first = time.monotonic(), spawn()

    from ocr_inference.parts import Start
    from ocr_inference.server import run

    run(settings, Start(process_began(), limit, spawn, first, spawned), hang_after)


@app.command(cls=_Command)
def read(
    names: Annotated[
        list[str], typer.Argument(help="Files, folders and patterns such as 'scans/**/*.png'.")
    ],
    output: Annotated[
        Literal["text", "markdown", "json", "hocr", "alto", "pdf"], typer.Option()
    ] = "text",
    to: Annotated[
        Path | None,
        typer.Option(callback=_folder, help="Folder for one file of each document."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Write over files that are there.")] = False,
    skip_existing: Annotated[
        bool, typer.Option(help="Leave out documents whose output is there.")
    ] = False,
    pages: Annotated[str | None, typer.Option(help="Pages to read, as in 1-3,7.")] = None,
    dpi: Annotated[
        int, typer.Option(min=72, max=400, help="Resolution at which PDF pages are rendered.")
    ] = 200,
    pdf_mode: Annotated[
        Literal["ocr", "auto", "text"],
        typer.Option(
            help="auto, text: take a PDF page's own text, where it looks right or always."
        ),
    ] = "ocr",
    language: Annotated[
        list[str] | None, typer.Option(help="ISO 639-1 code, repeatable; wins over OCR_LANGUAGES.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="paddleocr-vl, pp-ocr or tesseract; wins over OCR_MODEL.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Engines side by side; by default what fits.")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Show what libraries print.")] = False,
) -> None:
    """Read documents without a server and print what they say."""
    settings = _settings(
        **_model(model),
        languages=",".join(language) if language else None,
        engine_workers=workers,
    )

    from ocr_inference.command.plan import ReadArguments
    from ocr_inference.command.read import read as read_documents

    arguments = ReadArguments(
        tuple(names), output, to, force, skip_existing, pages, dpi, pdf_mode, verbose
    )
    raise typer.Exit(read_documents(arguments, settings))


@app.command(cls=_Command)
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Documents to measure with; by default a built-in A4 page."),
    ] = None,
    concurrency: Annotated[
        str, typer.Option(help="Documents at a time, one measurement for each: 1,2,4.")
    ] = "1",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each measurement.")] = 10.0,
    model: Annotated[str | None, typer.Option(help="Wins over OCR_MODEL.")] = None,
    url: Annotated[
        str | None, typer.Option(help="A running server to measure, as http://127.0.0.1:8081.")
    ] = None,
    key: Annotated[str | None, typer.Option(envvar="OCR_KEY", help="A key of that server.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Instead of a table.")] = False,
    verbose: Annotated[bool, typer.Option(help="Show what libraries print.")] = False,
) -> None:
    """Measure pages a second and the time of one, of this machine or of a server."""
    try:
        numbers = tuple(int(number) for number in concurrency.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter("numbers from 1, as in 1,2,4", param_hint="--concurrency")
    if url is not None and not _is_address(url):
        raise typer.BadParameter("an address, as in http://127.0.0.1:8081", param_hint="--url")
    settings = _settings(**_model(model))

    from ocr_inference.command.bench import BenchArguments
    from ocr_inference.command.bench import bench as measure

    arguments = BenchArguments(tuple(names or ()), numbers, seconds, url, key, as_json, verbose)
    raise typer.Exit(measure(arguments, settings))


@app.command(cls=_Command)
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
        typer.Option(callback=_folder, help="Folder; by default where the engine looks."),
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


def _model(name: str | None) -> dict[str, str]:
    """What `--model` sets: version and backend of the environment are for its own model."""
    if name is None or name == _settings().model:
        return {}
    return {"model": name, "model_version": "", "backend": "native"}


def _settings(**flags: Any) -> Settings:
    """From the environment; a flag that was given wins."""
    from pydantic import ValidationError

    from ocr_inference.settings import Settings, settings_sentence

    try:
        return Settings(**{name: given for name, given in flags.items() if given is not None})
    except ValidationError as error:
        print(f"ocr-inference: {settings_sentence(error)}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(EXIT_CONFIGURATION) from None
