"""A stand-in for the API server for what a real one does not do on demand: faults and dropped
connections.

It knows no schema and keeps no objects: each request gets the next scripted answer of its path, or
an echo.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

Json = dict[str, Any]


KINDS = {
    ("", "v1"): ("namespaces", "pods", "services"),
    ("apps", "v1"): ("deployments",),
    ("ocr-operator.dev", "v1alpha1"): ("ocrservices", "ocrstartupprofiles"),
}
"""What kopf has to find: the watched kinds, and namespaces, which it looks for in any case."""


@dataclass(frozen=True)
class Answer:
    """What to say; `drop` closes the connection without an answer, `stall` says nothing at all."""

    status: int = 200
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    stall: bool = False


@dataclass(frozen=True)
class Watching:
    """A watch stream: these events, then it stays open or, with `end`, is closed."""

    events: tuple[Json, ...] = ()
    end: bool = False


@dataclass(frozen=True)
class Asked:
    """A request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json | None


def failure(status: int, message: str, **headers: str) -> Answer:
    """A `Status` object, as the API server sends for a failure."""
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
    return Answer(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


class FakeApi:
    """`asked` has every request; `script` and `watch` set what comes next."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.url = ""
        self.closing = asyncio.Event()
        self._scripts: dict[str, deque[Answer]] = defaultdict(deque)
        self._watches: dict[str, deque[Watching]] = defaultdict(deque)
        self._below: dict[str, Json] = {}

    def script(self, path: str, *answers: Answer) -> None:
        """The next answers for this path; the last one stays."""
        self._scripts[path].extend(answers)

    def script_get(self, path: str, *answers: Answer) -> None:
        """The same, for GET alone."""
        self._scripts[f"GET {path}"].extend(answers)

    def echo_onto(self, path: str, below: Json) -> None:
        """What is sent to this path comes back as the part of a larger object."""
        self._below[path] = below

    def watch(self, path: str, *streams: Watching) -> None:
        """The next watch streams for this path; after the last one they stay open and silent."""
        self._watches[path].extend(streams)

    def methods(self, path: str) -> list[str]:
        """What was asked of the path, watches as WATCH."""
        return [
            "WATCH" if "watch" in asked.query else asked.method
            for asked in self.asked
            if asked.path == path
        ]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        body = json.loads(text) if text else None
        self.asked.append(
            Asked(request.method, request.path, dict(request.query), dict(request.headers), body)
        )
        if "watch" in request.query:
            return await self._stream(request)
        script = self._scripts[f"{request.method} {request.path}"] or self._scripts[request.path]
        if not script:
            return web.json_response(self._stamped(self._below.get(request.path, {}), body))
        answer = script.popleft() if len(script) > 1 else script[0]
        if answer.stall:
            await self.closing.wait()
        if answer.drop and request.transport is not None:
            request.transport.close()
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)

    def _stamped(self, below: Json, body: Json | None) -> Json:
        """The echo of an apply has what the API server adds to an object."""
        if not body or "metadata" not in body:
            return body or {}
        version = {"resourceVersion": str(len(self.asked))}
        stamp = {"uid": f"uid-of-{body['kind']}", **below.get("metadata", {}), **version}
        return {**below, **body, "metadata": {**stamp, **body["metadata"]}}

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        streams = self._watches[request.path]
        stream = streams.popleft() if streams else Watching()
        response = web.StreamResponse()
        await response.prepare(request)
        for event in stream.events:
            await response.write(json.dumps(event).encode() + b"\n")
        if not stream.end:
            await self.closing.wait()
        return response


def prefix(group: str, version: str) -> str:
    """Of a group and version."""
    return f"/apis/{group}/{version}" if group else f"/api/{version}"


def listing(*items: Json) -> Answer:
    """A list of these objects."""
    return Answer(body={"metadata": {"resourceVersion": "100"}, "items": list(items)})


def serve_the_kinds(fake: FakeApi) -> None:
    """Answer what is asked before anything is listed."""
    groups = [
        {
            "name": group,
            "versions": [{"version": version}],
            "preferredVersion": {"version": version},
        }
        for group, version in KINDS
        if group
    ]
    fake.script("/api", Answer(body={"versions": ["v1"]}))
    fake.script("/apis", Answer(body={"groups": groups}))
    for (group, version), plurals in KINDS.items():
        entries = [
            {
                "name": plural,
                "kind": plural,
                "singularName": "",
                "namespaced": True,
                "verbs": ["list", "watch"],
            }
            for plural in plurals
        ]
        fake.script(prefix(group, version), Answer(body={"resources": entries}))


def path(plural: str, namespace: str = "") -> str:
    """Of a collection."""
    [base] = [prefix(*place) for place, plurals in KINDS.items() if plural in plurals]
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """A `FakeApi` on a port of its own, in a thread of its own: kopf takes every task that begins
    in its event loop for its own, and would wait for the server's at its end."""
    fake, begun = FakeApi(), threading.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_serve(fake, begun)))
    thread.start()
    begun.wait()
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(fake.closing.set)
        thread.join()
        loop.close()


async def _serve(fake: FakeApi, begun: threading.Event) -> None:
    server = web.Application()
    server.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(server, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    begun.set()
    await fake.closing.wait()
    await runner.cleanup()


def configuration_for(fake: FakeApi) -> Configuration:
    """The client's configuration for the fake."""
    configuration = Configuration(host=fake.url)
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


@asynccontextmanager
async def client_of(fake: FakeApi) -> AsyncIterator[ApiClient]:
    """The real client, talking to the fake."""
    async with ApiClient(configuration_for(fake)) as client:
        yield client


class Clock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds
