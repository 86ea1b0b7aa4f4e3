"""An HTTP server of files that behaves as a test says: `with file_server(files) as server:`."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Behaviour:
    """Of the server as a whole; a test changes it while it runs."""

    break_after: int | None = None
    """Bytes of a body after which the connection is closed, once for each."""
    breaks: int = 10**9
    """How often it breaks."""
    stall_after: int | None = None
    """Bytes of a body after which nothing comes any more, on this connection and on the next."""
    ranges: bool = True
    etags: bool = True
    status: list[int] = field(default_factory=list)
    """Statuses of the next answers, before it behaves."""
    redirects: dict[str, str] = field(default_factory=dict)


@dataclass
class FileServer:
    url: str
    files: dict[str, bytes]
    behaviour: Behaviour
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: int = 0

    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]


def etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:12]}"'


@contextmanager
def file_server(files: dict[str, bytes]) -> Iterator[FileServer]:
    """Serves `files` by path on a free port of the loopback address."""
    ended = threading.Event()
    server = FileServer("", files, Behaviour())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # a client that had enough
                super().handle()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append((self.path, headers))
            behaviour = server.behaviour
            if behaviour.status:
                return self._plain(behaviour.status.pop(0))
            if path in behaviour.redirects:
                self.send_response(302)
                self.send_header("Location", behaviour.redirects[path])
                self.send_header("Content-Length", "0")
                return self.end_headers()
            body = server.files.get(path)
            return self._plain(404) if body is None else self._body(body, headers)

        def _plain(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _body(self, body: bytes, headers: dict[str, str]) -> None:
            behaviour = server.behaviour
            offset = 0
            wanted = headers.get("range")
            same = headers.get("if-range", etag(body)) == etag(body)
            if wanted is not None and behaviour.ranges and same:
                offset = int(wanted.removeprefix("bytes=").rstrip("-"))
                if offset >= len(body):
                    self._plain(416)
                    return
                self.send_response(206)
                last = len(body) - 1
                self.send_header("Content-Range", f"bytes {offset}-{last}/{len(body)}")
            else:
                self.send_response(200)
            if behaviour.etags:
                self.send_header("ETag", etag(body))
            rest = body[offset:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self._send(rest)

        def _send(self, rest: bytes) -> None:
            behaviour = server.behaviour
            if behaviour.break_after is not None and behaviour.breaks > 0:
                behaviour.breaks -= 1
                self._write(rest[: behaviour.break_after])
                self.close_connection = True
                return
            if behaviour.stall_after is not None:
                after, behaviour.stall_after = behaviour.stall_after, 0
                self._write(rest[:after])
                ended.wait(60)
                self.close_connection = True
                return
            self._write(rest)

        def _write(self, data: bytes) -> None:
            server.sent += len(data)
            try:
                self.wfile.write(data)
                self.wfile.flush()
            except OSError:
                self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        ended.set()
        http.shutdown()
        thread.join()
        http.server_close()


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
