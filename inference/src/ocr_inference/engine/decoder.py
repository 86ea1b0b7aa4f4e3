"""The decode children, one call at a time each, replaced when a file crashes one or keeps it too
long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocr_inference.engine.hangs import Hangs
from ocr_inference.engine.host import Child, ChildLost
from ocr_inference.engine.supervisor import RawPage
from ocr_inference.engine.wire import Message
from ocr_inference.errors import PublicError

log = logging.getLogger("ocr_inference.decode")

DECODE_DEADLINE_S = 30.0
"""An A4 page takes well under a second; what takes this long never ends."""

WRITE_PAGE_S = 0.1
"""More for each page of a PDF that is written in one call; ten times what a page of text takes."""

CROP_S = 0.5
"""More for each part of a page that is cut out in one call; ten times what a photograph takes."""

SUSPECT_DECODE_S = 10.0
SUSPECT_FOR_S = 300.0
"""So long a client whose document hung the decoder has less time for each of the next: they may all
be like it. Less than this could fail a heavy page of somebody innocent where clients have no names.
"""

LEAST_DECODE_S = 2.0
"""Even for a request whose time is up sooner: each child killed costs the others half a second, and
an impatient client is not to cost them one with every request."""

RECYCLE_CALLS = 1000
"""Decoders leak a little; a fresh child costs half a second."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of an upload before anything is decoded. Pages are 1-based."""

    media_type: str
    page_count: int
    page_numbers: tuple[int, ...]
    pixels: tuple[int, ...]
    """Of each of these pages at the wanted resolution."""


class DecoderHung(PublicError):
    """The decoder does not get on with a page of this document."""


@dataclass(slots=True)
class _Place:
    """Of one child, which is there from its first call on."""

    child: Child | None = None
    calls: int = 0


class Decoder:
    """Deadlines are on the monotonic clock. Every call raises `PublicError`: what is wrong with the
    file, 504 deadline_exceeded, `DecoderHung`, and what `given_up` says."""

    def __init__(
        self, spawn: Callable[[], Child], on_replaced: Callable[[str], None], size: int = 1
    ) -> None:
        self._spawn = spawn
        self._on_replaced = on_replaced
        self._places = [_Place() for _ in range(size)]
        self._free: asyncio.LifoQueue[_Place] = asyncio.LifoQueue()
        for place in reversed(self._places):
            self._free.put_nowait(place)
        # A client's documents that hang are not to hold all of the children.
        self._own_turn: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(max(1, size - 1))
        )
        self._suspect_until: dict[str, float] = {}
        self._hangs = Hangs()

    def given_up(self, path: Path) -> PublicError | None:
        """What reading a further page of this document raises, where it hung too often."""
        return self._hangs.given_up(path)

    async def start(self) -> None:
        """Start a child before the first file comes."""
        place = await self._free.get()
        try:
            await self._running_child(place)
        finally:
            self._free.put_nowait(place)

    async def inspect(
        self,
        client: str,
        path: Path,
        pages: str | None,
        dpi: int,
        deadline: float,
        max_pages: int | None = None,
    ) -> Inspection:
        """`max_pages`: other than what a request that is waited for may have."""
        found = await self._call(
            client, "inspect", deadline, path=str(path), pages=pages, dpi=dpi, max_pages=max_pages
        )
        return Inspection(
            media_type=found["media_type"],
            page_count=found["page_count"],
            page_numbers=tuple(found["page_numbers"]),
            pixels=tuple(found["pixels"]),
        )

    async def render(
        self, client: str, path: Path, number: int, dpi: int, out: Path, deadline: float
    ) -> RawPage:
        page = await self._call(
            client, "render", deadline, path=str(path), number=number, dpi=dpi, out=str(out)
        )
        return RawPage(out, page["height"], page["width"], page["dpi"], page["rotation"])

    async def preview(
        self, client: str, path: Path, number: int, side: int, out: Path, deadline: float
    ) -> None:
        """Page `number` as a JPEG for people, at most `side` pixels on its longer side."""
        await self._call(
            client, "preview", deadline, path=str(path), number=number, side=side, out=str(out)
        )

    async def own_text(
        self, client: str, path: Path, number: int, dpi: int, trusted: bool, deadline: float
    ) -> Message:
        """`text` of a PDF page's own, None where it is not `trusted` and looks wrong; `width`,
        `height`, `dpi` and `rotation` are those of the image that `render` would have made."""
        return await self._call(
            client, "own_text", deadline, path=str(path), number=number, dpi=dpi, trusted=trusted
        )

    async def crops(
        self,
        client: str,
        path: Path,
        number: int,
        dpi: int,
        boxes: Sequence[tuple[int, int, int, int]],
        most_bytes: int,
        out: Path,
        deadline: float,
    ) -> list[Message | None]:
        """What is in the boxes as JPEG and PNG files in `out`: `offset`, `length`, `media_type`,
        `width` and `height` of each; None from where it would be more than `most_bytes`."""
        found = await self._call(
            client,
            "crops",
            deadline,
            more=len(boxes) * CROP_S,
            path=str(path),
            number=number,
            dpi=dpi,
            boxes=list(boxes),
            most_bytes=most_bytes,
            out=str(out),
        )
        crops: list[Message | None] = found["crops"]
        return crops

    async def picture(
        self, client: str, path: Path, number: int, out: Path, deadline: float
    ) -> None:
        """Frame `number` as the JPEG or PNG file that `write_pdf` takes."""
        await self._call(client, "picture", deadline, path=str(path), number=number, out=str(out))

    async def write_pdf(
        self,
        client: str,
        path: Path,
        layers: Path,
        pictures: Sequence[Path],
        pages: int,
        out: Path,
        deadline: float,
    ) -> None:
        """The document with `layers` as its text; `pictures` where it is no PDF itself."""
        await self._call(
            client,
            "write_pdf",
            deadline,
            more=pages * WRITE_PAGE_S,
            path=str(path),
            layers=str(layers),
            pictures=[str(picture) for picture in pictures],
            out=str(out),
        )

    async def end(self) -> None:
        for place in self._places:
            if place.child is not None:
                await place.child.end()

    async def _call(
        self,
        client: str,
        op: str,
        deadline: float,
        more: float = 0.0,
        **arguments: Any,
    ) -> Message:
        # Shielded: a client that goes away must neither leave its call in the way of the next
        # file's, nor make us start a new child for every connection it drops.
        calling = asyncio.create_task(self._call_in_turn(client, op, deadline, more, arguments))
        calling.add_done_callback(_retrieve)
        return await asyncio.shield(calling)

    async def _call_in_turn(
        self, client: str, op: str, deadline: float, more: float, arguments: Message
    ) -> Message:
        # A client has its share of the line: between two of its own the others have theirs.
        async with self._own_turn[client]:
            place = await self._free.get()
            try:
                return await self._call_at(place, client, op, deadline, more, arguments)
            finally:
                self._free.put_nowait(place)

    async def _call_at(
        self,
        place: _Place,
        client: str,
        op: str,
        deadline: float,
        more: float,
        arguments: Message,
    ) -> Message:
        path = Path(arguments["path"])
        if op in ("own_text", "render") and (refused := self.given_up(path)) is not None:
            raise refused
        now = time.monotonic()
        suspect = now < self._suspect_until.get(client, 0.0)
        longest = SUSPECT_DECODE_S if suspect else DECODE_DEADLINE_S + more
        remaining = deadline - now
        if remaining <= 0:
            raise _too_late()
        within = min(longest, max(LEAST_DECODE_S, remaining))
        child = await self._running_child(place)
        place.calls += 1
        try:
            async with asyncio.timeout(within):
                return await child.call(op, **arguments)
        except TimeoutError:
            if within < longest:
                await self._replace(place, "deadline")
                raise _too_late() from None
            self._suspect_until[client] = time.monotonic() + SUSPECT_FOR_S
            self._hangs.note(path)
            await self._replace(place, "hung")
            what = f"Page {arguments['number']}" if "number" in arguments else "The file"
            raise DecoderHung(
                400, "decode_failed", f"{what} was not decoded in {longest:.0f} s."
            ) from None
        except ChildLost:
            await self._replace(place, "crashed")
            raise PublicError(
                400, "decode_failed", "The decoder ended while it was reading this file."
            ) from None

    async def _replace(self, place: _Place, why: str) -> None:
        log.warning("the decode child is replaced", extra={"reason": why})
        self._on_replaced(why)
        if place.child is not None:
            await place.child.end()
            place.child = None

    async def _running_child(self, place: _Place) -> Child:
        child = place.child
        if child is not None and (child.lost.is_set() or place.calls >= RECYCLE_CALLS):
            await child.end()
            child = None
        if child is None:
            child = self._spawn()
            await child.attach(lambda _event: None, lambda: None)
            place.child, place.calls = child, 0
        return child


def _retrieve(call: asyncio.Task[Message]) -> None:
    """Of a client that went away nobody else asks how it ended."""
    if not call.cancelled():
        call.exception()


def _too_late() -> PublicError:
    return PublicError(
        504, "deadline_exceeded", "The document was not decoded before its deadline."
    )
