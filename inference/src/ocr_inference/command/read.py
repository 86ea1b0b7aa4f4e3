"""`ocr-inference read`: documents read on this machine, without a server.

The server's own parts do the work, so a document says the same here and there, and one that kills
or hangs a decoder or an engine costs its page.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from rich.progress import Progress, TaskID

from ocr_inference.caches import cache_dir
from ocr_inference.command.document import DocumentError, DocumentReader, Done
from ocr_inference.command.inputs import why_missing
from ocr_inference.command.places import PlaceTaken, copy
from ocr_inference.command.plan import Plan, PlannedFile, ReadArguments, Refused, plan
from ocr_inference.command.report import Failure, counted, progress, say, tell_failures, were
from ocr_inference.command.room import EngineFailed, NoRoom, reading_room
from ocr_inference.command.streams import OutputFailed, own_streams, writing_out
from ocr_inference.engine.base import EngineError
from ocr_inference.engine.cpu import cpu_limit, cpu_threads
from ocr_inference.engine.registry import resolve_version
from ocr_inference.pipeline.compact_json import to_json
from ocr_inference.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1
"""A document or a page was not read; what could be read was written."""
EXIT_NOTHING_DONE = 2
"""The engine, the inputs or the outputs are not as the command wants them."""
EXIT_INTERRUPTED = 130


def read(arguments: ReadArguments, settings: Settings) -> int:
    """Read what `arguments` name with the model of `settings`; returns the exit code."""
    with own_streams(arguments.verbose) as (out, err):
        try:
            planned = plan(arguments, terminal=out.isatty())
        except (Refused, PlaceTaken) as error:
            say(err, str(error))
            return EXIT_NOTHING_DONE
        for sentence in planned.remarks:
            say(err, sentence)
        return _Run(arguments, settings, out, err).run(planned)


class _Run:
    """From the files to the output, in order."""

    def __init__(
        self,
        arguments: ReadArguments,
        settings: Settings,
        out: BinaryIO,
        err: TextIO,
    ) -> None:
        self._arguments = arguments
        self._settings = settings.model_copy(update={"cache_dir": cache_dir(settings)})
        self._out = out
        self._err = err
        self._failures: list[Failure] = []
        self._pages_found = self._pages_read = self._documents = 0
        self._named = False

    def run(self, planned: Plan) -> int:
        files = planned.files
        self._named = len(files) > 1
        missing = [Failure(Path(name), None, why_missing(name)) for name in planned.missing]
        self._failures.extend(missing)
        code = EXIT_OK
        try:
            resolve_version(self._settings.model, self._settings.model_version)
            if files:
                asyncio.run(self._read(files))
            for failure in missing:
                self._say_failed(failure.file, DocumentError("no_such_file", failure.error))
        except NoRoom as error:
            say(self._err, str(error))
            code = EXIT_NOTHING_DONE
        except (EngineFailed, EngineError) as error:
            say(self._err, f"{self._settings.model} cannot be loaded: {error}")
            code = EXIT_NOTHING_DONE
        except BrokenPipeError:  # `| head` has seen enough
            return EXIT_FAILED
        except OutputFailed as error:
            say(self._err, str(error))
            code = EXIT_FAILED
        except (KeyboardInterrupt, asyncio.CancelledError):
            code = EXIT_INTERRUPTED
        tell_failures(self._err, self._failures)
        if code == EXIT_INTERRUPTED:
            what = f"{self._documents} of {counted(len(files), 'document')}"
            say(self._err, f"Interrupted: {what} {were(self._documents)} read.")
        elif code == EXIT_OK and (self._failures or self._arguments.to is not None):
            pages, documents = self._pages_read, self._documents
            what = f"{counted(pages, 'page')} of {counted(documents, 'document')}"
            say(self._err, f"{what} {were(pages)} read, {len(self._failures)} failed.")
        return code or (EXIT_FAILED if self._failures else EXIT_OK)

    async def _read(self, files: Sequence[PlannedFile]) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - for the type checker
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
        with progress(self._err) as bar:
            shown = bar.add_task("reading", total=None)
            async with reading_room(self._settings, lambda: self._pages_found) as room:
                reader = DocumentReader(
                    self._arguments,
                    self._settings,
                    room,
                    found=lambda pages: self._found(bar, shown, pages),
                    page=lambda: bar.advance(shown),
                )
                failed = asyncio.ensure_future(room.fail())
                try:
                    await self._in_order(reader, deque(files), failed)
                finally:
                    failed.cancel()

    def _found(self, bar: Progress, shown: TaskID, pages: int) -> None:
        self._pages_found += pages
        bar.update(shown, total=self._pages_found)

    async def _in_order(
        self, reader: DocumentReader, waiting: deque[PlannedFile], failed: asyncio.Future[None]
    ) -> None:
        """Some documents are begun before those in front of them are done: no core is to wait for
        the last page of one."""
        ahead = 2 * cpu_threads(cpu_limit()) + 2
        begun: deque[asyncio.Task[Done]] = deque()
        try:
            while waiting or begun:
                while waiting and len(begun) < ahead:
                    begun.append(asyncio.create_task(reader.read(waiting.popleft())))
                either: set[asyncio.Future[Any]] = {begun[0], failed}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    failed.result()
                self._take(begun.popleft().result())
        finally:
            for task in begun:
                if task.done() and not task.cancelled() and task.exception() is None:
                    with suppress(OutputFailed, BrokenPipeError):
                        self._take(task.result())
                task.cancel()
            if begun:
                await asyncio.wait(begun)

    def _take(self, done: Done) -> None:
        self._failures.extend(done.failures)
        if done.error is not None:
            self._say_failed(done.path, done.error)
            return
        self._documents += 1
        self._pages_read += done.pages
        if done.body is None:
            return
        with writing_out():
            if self._named and self._arguments.output != "json":
                self._out.write(f"==> {done.path} <==\n".encode())
            copy(done.body, self._out)
            if isinstance(done.body, bytes) and not done.body.endswith(b"\n"):
                self._out.write(b"\n")
            self._out.flush()

    def _say_failed(self, file: Path, error: DocumentError) -> None:
        """To the one who reads a line for each document."""
        if self._arguments.output != "json" or self._arguments.to is not None:
            return
        line = to_json({"file": str(file), "status": "failed", "error": asdict(error)})
        with writing_out():
            self._out.write(f"{line}\n".encode())
            self._out.flush()
