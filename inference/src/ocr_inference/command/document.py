"""One document from its file to its output."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ocr_inference.command.places import PlaceTaken, write
from ocr_inference.command.plan import PlannedFile, ReadArguments
from ocr_inference.command.report import Failure
from ocr_inference.command.room import CLIENT, Room
from ocr_inference.engine.decoder import Inspection
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.page import Page
from ocr_inference.reading.request import ReadRequest, Watcher
from ocr_inference.results.answer import Answer, about_reading
from ocr_inference.settings import Settings
from ocr_inference.sources.file import Document

_DAY_S = 86_400.0
"""For one document; what hangs is known by the time that other pages take."""

_INCLUDE = frozenset(("blocks", "lines"))


@dataclass(frozen=True, slots=True)
class DocumentError:
    """As in the server's answers."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """`body` is for standard output; None where a file was written, or nothing. `error` says why
    nothing was."""

    path: Path
    pages: int
    body: bytes | BinaryIO | None
    failures: tuple[Failure, ...]
    error: DocumentError | None = None


class _Unreadable(Exception):
    """The file cannot be opened; the sentence says why."""


class DocumentReader:
    """`found` is told how many pages a document has, `page` each time that one is done."""

    def __init__(
        self,
        arguments: ReadArguments,
        settings: Settings,
        room: Room,
        found: Callable[[int], None],
        page: Callable[[], None],
    ) -> None:
        self._arguments = arguments
        self._settings = settings
        self._room = room
        self._found = found
        self._page = page

    async def read(self, planned: PlannedFile) -> Done:
        """Never raises for what is wrong with this document."""
        failures: list[Failure] = []

        def found(inspection: Inspection) -> None:
            self._found(len(inspection.page_numbers))

        def page(read: Page) -> None:
            self._page()
            if read.error is not None:
                failures.append(Failure(planned.path, read.number, read.error))

        try:
            return await self._read(planned, Watcher(found, page), failures)
        except PublicError as error:
            failed = DocumentError(error.code, error.message)
            # Where every page failed, each has said so.
            if not failures:
                failures.append(Failure(planned.path, None, failed.message))
        except _Unreadable as error:
            failed = DocumentError("unreadable_file", str(error))
            failures.append(Failure(planned.path, None, failed.message))
        except (OSError, PlaceTaken) as error:
            failed = DocumentError("not_written", _sentence(error))
            failures.append(Failure(planned.path, None, failed.message))
        failures.sort(key=lambda failure: failure.page or 0)
        return Done(planned.path, 0, None, tuple(failures), failed)

    async def _read(self, planned: PlannedFile, watcher: Watcher, failures: list[Failure]) -> Done:
        began = time.monotonic()
        try:
            with planned.path.open("rb"):  # a sentence of ours is better than a decoder's
                size = planned.path.stat().st_size
        except OSError as error:
            raise _Unreadable(f"The file cannot be read: {error.strerror}.") from error
        document = Document(planned.path, planned.path.name, size, sha256="")
        request = ReadRequest(
            CLIENT,
            document,
            began + _DAY_S,
            pages=self._arguments.pages,
            dpi=self._arguments.dpi,
            pdf_mode=self._arguments.pdf_mode,
            # Its checksum is not known, which is what pages are remembered by.
            fresh=True,
        )
        reading = await self._room.read(request, watcher)
        total_ms = (time.monotonic() - began) * 1000
        about = about_reading(
            reading, self._settings.model, self._room.parts.record.model_name, total_ms
        )
        # Those that the engine was loaded with, for the formats that name them.
        about["languages"] = list(self._settings.languages)
        answer = Answer({"file": str(planned.path), **about}, reading.pages, _INCLUDE)
        written = await self._room.parts.outputs.write(
            self._arguments.output, answer, document, CLIENT, request.deadline
        )
        if planned.place is not None:
            await asyncio.to_thread(write, planned.place, written.content, self._arguments.force)
        failures.sort(key=lambda failure: failure.page or 0)
        body = written.content if planned.place is None else None
        pages = sum(page.error is None for page in reading.pages)
        return Done(planned.path, pages, body, tuple(failures))


def _sentence(error: OSError | PlaceTaken) -> str:
    if isinstance(error, PlaceTaken):
        return str(error)
    return f"{error.filename or 'The output'} cannot be written: {error.strerror}."
