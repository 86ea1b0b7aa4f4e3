"""An HTTP way to a server that loses answers: what was sent arrives, and who sent it hears nothing.

`with deaf_wire(port) as line: line.lose("PUT", "/job.json", 1)`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class DeafWire:
    def __init__(self, target: int) -> None:
        self.target = target
        self.lost = 0
        """Answers, all in all."""
        self._lose: tuple[str, str, int] = ("", "", 0)
        self._lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def lose(self, method: str, ending: str, count: int) -> None:
        """The next so many answers to this method on paths that end so."""
        with self._lock:
            self._lose = method, ending, count

    def _loses(self, method: str, path: str) -> bool:
        with self._lock:
            wanted, ending, count = self._lose
            if not count or method != wanted or not path.partition("?")[0].endswith(ending):
                return False
            self._lose = wanted, ending, count - 1
            self.lost += 1
            return True

    def _handler(wire) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sent = {name: value for name, value in self.headers.items() if name != "Expect"}
                with closing(HTTPConnection("127.0.0.1", wire.target)) as server:
                    server.request(self.command, self.path, body, sent)
                    answer = server.getresponse()
                    told = answer.read()
                if wire._loses(self.command, self.path):
                    self.close_connection = True
                    return
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = pass_on

            def log_message(self, *_arguments: object) -> None: ...

        return Handler


@contextmanager
def deaf_wire(target: int) -> Iterator[DeafWire]:
    wire = DeafWire(target)
    threading.Thread(target=wire.server.serve_forever, daemon=True).start()
    try:
        yield wire
    finally:
        wire.server.shutdown()
        wire.server.server_close()
