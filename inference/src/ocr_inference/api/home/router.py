"""The page at `/` and its files: plain HTML, CSS and JavaScript from this package.

The page asks the other routes for everything it shows, so nothing is filled in here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

_INDEX = "index.html"
_MEDIA_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}

_HEADERS = {
    # `blob:` is what a script has fetched itself: page images need the key in a header.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked again every time, so that a new version of the server is never mixed with an old page.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. `etag` is a hash of its content."""

    content: bytes
    media_type: str
    etag: str


@cache
def assets() -> Mapping[str, Asset]:
    """The files of the page by name, read once."""
    return MappingProxyType(
        {
            entry.name: _asset(entry.name, entry.read_bytes())
            for entry in (files(__package__) / "static").iterdir()
            if _suffix(entry.name) in _MEDIA_TYPES
        }
    )


@router.get("/")
async def home(request: Request) -> Response:
    return _answer(request, assets()[_INDEX])


@router.get("/assets/{name}")
async def asset(request: Request, name: str) -> Response:
    found = assets().get(name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    return _answer(request, found)


def _answer(request: Request, found: Asset) -> Response:
    headers = {**_HEADERS, "ETag": found.etag}
    if found.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:32]
    return Asset(content, _MEDIA_TYPES[_suffix(name)], f'"{digest}"')


def _suffix(name: str) -> str:
    return name.rpartition(".")[2]
