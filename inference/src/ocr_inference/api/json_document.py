"""A document in a JSON body, read and answered while the client waits: what the routes for other
servers' clients have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from ocr_inference.api.sending import sent
from ocr_inference.api.status_headers import status_headers
from ocr_inference.api.work import admitted, announced, note_timings, unless_gone, wants_fresh
from ocr_inference.errors import PublicError
from ocr_inference.pipeline.layout import ImageBlock
from ocr_inference.pipeline.page import Page, Task
from ocr_inference.reading.request import Reading, ReadRequest
from ocr_inference.results.answer import Images, warnings_of
from ocr_inference.services import Services
from ocr_inference.sources.document import named_document
from ocr_inference.sources.file import Document
from ocr_inference.sources.json_body import receive_json

_BYTES_PER_CHARACTER = 3 / 4
"""Base64."""

EXAMPLE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEgAAAAkAQAAAAACoEHLAAAAh0lEQVR42rWQwQnCUBBE3w4iYhA8iUdLsIIQBP"
    "v4lcg3NpJSvtqIR88BxYNmPSQfUoDO6bEwM8uYM0j8mj4zajcwb1mUO85JPIvumgzEnSM3AgK9iYBIXAbv0l6E"
    "UV6TyWHSU+35doiZLCGgogHE1qejr/qOdXfyDQExf6isAFGsbB8B+9saXxwtIFNFhPYdAAAAAElFTkSuQmCC"
)
"""In base64: a picture of the word OCR, for the requests that /docs shows and can send."""

Pictures = Sequence[tuple[Page, Sequence[ImageBlock]]]
"""The blocks of pages that are to be cut out."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`source` as `named_document` takes it, `pages` a selection as in `1-3,7`."""

    source: str
    pages: str | None = None
    task: Task = "parse"


async def answer_json_document(
    request: Request,
    services: Services,
    parse: Callable[[dict[str, Any]], Wanted],
    pictures: Callable[[Reading], Pictures],
    write: Callable[[Reading, Images], str],
) -> Response:
    """Read what the body's JSON object asks for, as `parse` understands it, and answer with the
    JSON that `write` makes of it in a thread, and of those of the `pictures` that fit.

    Raises `PublicError`, and `ClientDisconnect` where the client is gone.
    """
    limit = services.settings.max_upload_bytes
    deadline = time.monotonic() + services.settings.sync_timeout_s
    size = int(announced(request, services) * _BYTES_PER_CHARACTER)
    with (
        admitted(request, services) as (client, ticket),
        services.uploads.reserve(client, size) as space,
        services.workspace.file(".upload") as path,
    ):
        body = await receive_json(
            request.headers.get("content-type", ""),
            space.counted(request.stream(), _BYTES_PER_CHARACTER),
            path,
            limit,
        )
        wanted = parse(body.payload)

        async def fetch(url: str) -> Document:
            return await services.urls.fetch(url, path, space, deadline)

        async def answer() -> Response:
            document = await named_document(wanted.source, body.inline, path, limit, fetch)
            asked = ReadRequest(
                client=client,
                document=document,
                deadline=deadline,
                pages=wanted.pages,
                task=wanted.task,
                fresh=wants_fresh(request),
            )
            reading = await services.reader.read(asked, ticket)
            note_timings(request, reading)
            images = await services.outputs.images.cut(
                pictures(reading), document, client, deadline
            )
            await services.untaken.room(client, deadline)
            text = await services.outputs.spool.write(lambda: (write(reading, images),))
            headers = status_headers(
                "partial" if reading.errors else "success",
                [*warnings_of(reading.pages), *images.warnings],
            )
            return sent(text, "application/json", headers, services, client)

        return await unless_gone(request, answer())


def body_schema(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """The request body as OpenAPI shows it, with an `example` that works; the server parses it
    itself, to keep the document out of memory."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return whole(parts[part["$ref"].rpartition("/")[2]])
        return {name: whole(value) for name, value in part.items()}

    content = {"application/json": {"schema": whole(schema), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def unsupported(error: ValidationError) -> PublicError:
    """The first thing that is wrong with a request, or that cannot be done here."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "body"
    if first["type"] == "missing":
        return PublicError(422, "invalid_field", f"{name}: this field is missing.", field=name)
    if first["type"] == "extra_forbidden":
        return PublicError(422, "invalid_field", f"{name}: this field is not known.", field=name)
    return PublicError(
        422, "unsupported_option", f"{name}: not possible here: {first['msg']}.", field=name
    )
