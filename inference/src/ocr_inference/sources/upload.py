"""A multipart body streamed to disk, under a name of our own.

Not Starlette's form parser: it spools to an unnamed file, which would have to be copied for the
decode child, and has no limit for a file.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ocr_inference.errors import PublicError
from ocr_inference.sources.document import Fetch, named_document
from ocr_inference.sources.file import NAME, WRITE_BYTES, Document, DocumentFile, too_large
from ocr_inference.sources.inline import InlineFile

FILE, URL = "file", "image_url"
"""The parts that a document may come in; a request has one of them."""

MAX_FIELDS = 32
MAX_FIELD_BYTES = 64 * 1024

_UNSAFE = re.compile(r"[^\w.\- ()]+")


@dataclass(frozen=True, slots=True)
class Upload:
    """A received file and the fields beside it."""

    document: Document
    fields: dict[str, list[str]]


@dataclass(slots=True)
class _Part:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    file_name: str | None = None
    data: bytearray = field(default_factory=bytearray)

    @property
    def is_source(self) -> bool:
        return self.file_name is not None or self.name == URL


async def receive_upload(
    content_type: str, body: AsyncIterator[bytes], path: Path, limit: int, fetch: Fetch
) -> Upload:
    """Read the whole body. The document goes to `path`, from the part called `file` or from what
    `image_url` says: a `data:` URL, or a URL to `fetch` it from. It has at most `limit` bytes. The
    other parts are fields.

    Raises `PublicError` for a body that is no such form (400, 413, 415, 422), 503 storage_full, and
    what `fetch` raises.
    """
    receiver = _Receiver(_boundary(content_type), limit)
    with ExitStack() as stack:
        file: DocumentFile | None = None

        async def keep() -> DocumentFile:
            inline = receiver.source == URL
            opened = file or stack.enter_context(
                await asyncio.to_thread(InlineFile, path, limit)
                if inline
                else await asyncio.to_thread(DocumentFile, path)
            )
            await asyncio.to_thread(opened.write, receiver.take_data())
            return opened

        async for chunk in body:
            receiver.feed(chunk)
            if len(receiver.data) >= WRITE_BYTES:
                file = await keep()
        receiver.finish()
        if receiver.source == URL and file is None:
            source = receiver.take_data().decode("utf-8", "replace").strip()
            document = await named_document(source, None, path, limit, fetch)
        else:
            file = await keep()
            document = await asyncio.to_thread(file.finish, clean_name(receiver.file_name))
    return Upload(document, receiver.fields)


def clean_name(name: str) -> str:
    """The last part of a client's path, without what could act on a terminal or a shell."""
    base = re.split(r"[/\\]", name)[-1]
    return _UNSAFE.sub("_", base).strip(". ")[:128] or NAME


def _boundary(content_type: str) -> bytes:
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise PublicError(
            415, "unsupported_media_type", "Send multipart/form-data with the document as `file`."
        )
    boundary = parameters.get(b"boundary")
    if not boundary:
        raise PublicError(400, "invalid_multipart", "The multipart boundary is missing.")
    return boundary


class _Receiver:
    """Sorts what the parser finds: the document's bytes or text aside, fields as text."""

    def __init__(self, boundary: bytes, limit: int) -> None:
        self.fields: dict[str, list[str]] = {}
        self.source: str | None = None
        self.file_name = ""
        self.data = bytearray()
        self._field_count = 0
        self._part = _Part()
        self._header = (bytearray(), bytearray())
        self._ended = False
        self._limit = limit
        self._file_bytes = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _malformed() from error

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed() from error

    def take_data(self) -> bytes:
        data, self.data = bytes(self.data), bytearray()
        return data

    def finish(self) -> None:
        if not self._ended:
            raise _malformed()
        if self.source is None:
            raise PublicError(
                422,
                "source_missing",
                f"Send the document as the part `{FILE}`, or where it is as `{URL}`.",
            )

    def _on_part_begin(self) -> None:
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _on_header_end(self) -> None:
        name, value = self._header
        self._part.headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _on_headers_finished(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        file_name = options.get(b"filename")
        part.file_name = None if file_name is None else file_name.decode("utf-8", "replace")
        if part.file_name is not None:
            if part.name != FILE:
                raise PublicError(
                    422, "invalid_field", f"Files are taken as `{FILE}`, not as {part.name!r}."
                )
            self.file_name = part.file_name
        if part.is_source:
            self._begin_source(part.name)
            return
        self._field_count += 1
        if self._field_count > MAX_FIELDS:
            raise PublicError(400, "invalid_multipart", f"More than {MAX_FIELDS} fields.")

    def _begin_source(self, name: str) -> None:
        if self.source is not None:
            raise PublicError(
                422, "source_ambiguous", f"Send one `{FILE}` or one `{URL}` a request."
            )
        self.source = name

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.is_source:
            self._file_bytes += end - start
            if self.source == FILE and self._file_bytes > self._limit:
                raise too_large(self._limit)
            self.data.extend(data[start:end])
            return
        part.data.extend(data[start:end])
        if len(part.data) > MAX_FIELD_BYTES:
            raise PublicError(413, "field_too_large", f"A field exceeds {MAX_FIELD_BYTES} bytes.")

    def _on_part_end(self) -> None:
        part = self._part
        if not part.is_source:
            try:
                text = bytes(part.data).decode()
            except UnicodeDecodeError as error:
                raise _malformed() from error
            self.fields.setdefault(part.name, []).append(text)

    def _on_end(self) -> None:
        self._ended = True


def _malformed() -> PublicError:
    return PublicError(400, "invalid_multipart", "The multipart body is malformed or cut short.")
