"""What every route that works for a client does around its own part: who asks, may they now, and
stop when they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from ocr_inference.errors import PublicError
from ocr_inference.reading.admission import Ticket
from ocr_inference.reading.request import Reading
from ocr_inference.services import Services
from ocr_inference.sources.file import Document
from ocr_inference.sources.space import Reservation
from ocr_inference.sources.upload import Upload, receive_upload

T = TypeVar("T")

CLIENT_GONE = 499
"""nginx's number; nobody reads the answer, the log and the metrics do."""

ERROR_STATUSES = (400, 401, 408, 413, 415, 422, 429, 502, 503, 504)
"""Of a route that reads a document while the client waits."""

bearer = HTTPBearer(auto_error=False, description="A key of this server, where it wants one.")
"""For the documentation: the header itself is read by `client_of`."""


def client_of(request: Request, services: Services) -> str:
    """Whose key the request carries. Raises `PublicError` 401 unauthorized."""
    client = services.keys.client(request.headers.get("authorization"))
    if client is None:
        raise PublicError(401, "unauthorized", "Send a valid key as `Authorization: Bearer <key>`.")
    request.scope["state"]["client"] = client
    return client


@contextmanager
def admitted(request: Request, services: Services) -> Iterator[tuple[str, Ticket]]:
    """The client and its share of the queue, for work that the client waits for.

    Raises `PublicError`: 401, 429 rate_limited or too_many_answers, and 503 while nothing more can
    be taken.
    """
    client = client_of(request, services)
    services.check_can_work()
    services.untaken.check(client)
    with services.admission.admit(client) as ticket:
        services.rates.admit(client)
        yield client, ticket


async def receive_form(
    request: Request, services: Services, path: Path, space: Reservation, deadline: float
) -> Upload:
    """The request's multipart form, its document written to `path`. `deadline` is for a document
    that has to be fetched."""
    limit = services.settings.max_upload_bytes

    async def fetch(url: str) -> Document:
        return await unless_gone(request, services.urls.fetch(url, path, space, deadline))

    return await receive_upload(
        request.headers.get("content-type", ""),
        # A document in base64 is larger on its way than on the disk.
        space.counted(request.stream(), most=limit),
        path,
        limit,
        fetch,
    )


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client closes the connection:
    `ClientDisconnect`."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            leaving.result()  # or what is wrong with a body that nobody wanted
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


async def until_sent() -> AsyncIterator[AsyncExitStack]:
    """A dependency: what a route enters here is left when its answer was sent, or cannot be."""
    async with AsyncExitStack() as stack:
        yield stack


async def hold_answer(held: AsyncExitStack, services: Services, client: str) -> None:
    """Before an answer that was kept is built: the client has its turn, and a drain waits.

    Raises `PublicError` 429 too_many_answers.
    """
    held.enter_context(services.lifecycle.request())
    await held.enter_async_context(services.answers.take(client))


def wants_fresh(request: Request) -> bool:
    """Whether pages are to be read again, and not remembered either."""
    return "no-store" in request.headers.get("cache-control", "").lower()


def note_timings(request: Request, reading: Reading) -> None:
    """For the headers of the answer."""
    timings = request.scope["state"]["timings"]
    timings.queue_ms, timings.inference_ms = reading.queue_ms, reading.total("infer_ms")


def client_gone(services: Services) -> Response:
    services.metrics.cancelled.labels("disconnect").inc()
    return Response(status_code=CLIENT_GONE)


def announced(request: Request, services: Services) -> int:
    """The body's bytes where the header tells. More than is allowed will be refused as such."""
    length = request.headers.get("content-length", "")
    return min(int(length), services.settings.max_upload_bytes) if length.isdecimal() else 0


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
