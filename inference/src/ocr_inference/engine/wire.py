"""Messages between the HTTP process and its children: a length, then JSON.

JSON and not pickle: a decoder taken over by a hostile file must not run code in the process that
holds the keys and the S3 credentials.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from dataclasses import fields, is_dataclass
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""More than any page's text; a larger length means that the other side has lost its mind."""


LARGE_BYTES = 256 * 1024
"""Parsed in a millisecond or two; what is larger is parsed in a thread."""


class WireError(Exception):
    """The other side sent something that is no message."""


def encode(message: Message) -> bytes:
    """Dataclasses become objects. Raises `ValueError` for NaN, `TypeError` for what is no JSON."""
    # `replace`: a lone surrogate from an engine would fail in every later encoder.
    # `allow_nan=False`: NaN is not JSON, and no client's parser would take the answer.
    text = json.dumps(message, ensure_ascii=False, allow_nan=False, default=_fields)
    body = text.encode("utf-8", "replace")
    return _LENGTH.pack(len(body)) + body


def _fields(value: Any) -> Message:
    # Not `asdict`, which copies a page word by word before anything is written.
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no message")
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _decode(body: bytes) -> Message:
    message = json.loads(body)
    if not isinstance(message, dict):
        raise WireError("not an object")
    return message


def _checked_length(head: bytes) -> int:
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE_BYTES:
        raise WireError(f"{length} bytes announced")
    return int(length)


def send(sock: socket.socket, message: Message) -> None:
    sock.sendall(encode(message))


def receive(sock: socket.socket) -> Message | None:
    """The next message, or None when the other side is gone."""
    head = _exactly(sock, _LENGTH.size)
    if head is None:
        return None
    body = _exactly(sock, _checked_length(head))
    return None if body is None else _decode(body)


def _exactly(sock: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = sock.recv(count - len(parts))
        except ConnectionError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)


async def read(reader: asyncio.StreamReader) -> Message | None:
    """As `receive`, for the asyncio side."""
    try:
        head = await reader.readexactly(_LENGTH.size)
        body = await reader.readexactly(_checked_length(head))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    # A page of noise can be megabytes of text, and the probes wait meanwhile.
    return await asyncio.to_thread(_decode, body) if len(body) > LARGE_BYTES else _decode(body)
