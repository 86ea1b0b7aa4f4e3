"""Names of hosts looked up, so that a DNS server that does not answer stops one client alone.

A look-up cannot be ended: its thread waits as long as the system's resolver does, whoever still
wants to know. So a client has a few at a time, which count until they really end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from ocr_inference.auth import ANONYMOUS
from ocr_inference.sources.addresses import Address

MOST_OF_CLIENT = 2
"""At a time; further ones wait for their turn."""

_THREADS = 16
"""Own ones: they must not be those that write uploads."""

_NO_SUCH_NAME = frozenset((socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)))

Resolve = Callable[[str, int], list[Address]]


class NoSuchName(Exception):
    """The name has no address."""


def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host`, asked for once. The dot at its end keeps the search list of a
    cluster out of it: a name means the same here as on the internet."""
    answers = socket.getaddrinfo(f"{host}.".encode(), port, type=socket.SOCK_STREAM)
    return [ip_address(answer[4][0]) for answer in answers]


class Lookups:
    """Each is waited for at most `within` seconds from its turn on."""

    def __init__(self, within: float, resolve: Resolve = resolve) -> None:
        self._within = within
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(_THREADS, "resolve")
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def addresses(self, client: str, host: str, port: int) -> list[Address]:
        """The addresses of `host`, each once.

        Raises `NoSuchName`, `TimeoutError`, and `OSError` where the name could not be looked up.
        """
        # Where clients have no names there is nobody to keep threads for.
        most = _THREADS if client == ANONYMOUS else MOST_OF_CLIENT
        turns = self._turns.setdefault(client, asyncio.Semaphore(most))
        await turns.acquire()
        asked = self._threads.submit(self._resolve, host, port)
        found = asyncio.wrap_future(asked)

        def end(_: object) -> None:
            turns.release()
            if not found.cancelled():
                found.exception()  # nobody may be left who wants to know

        found.add_done_callback(end)
        try:
            await asyncio.wait({found}, timeout=self._within)
        finally:
            asked.cancel()  # where it has not begun
        if not found.done():
            raise TimeoutError
        try:
            return list(dict.fromkeys(found.result()))
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                raise NoSuchName from None
            raise
