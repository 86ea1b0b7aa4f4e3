"""An internet of one's own: a network namespace in which every address is this machine.

Whatever a server in it connects to is accepted here and written down, so that a connection to an
address that must not be reached is seen and not only expected.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

from netns import NetworkNamespace
from ocr_server import OcrServer, running_server

T = TypeVar("T")
NAME_SERVER = "127.0.0.53"

_SETUP = """
ip link set lo up
ip route add local default dev lo
ip -6 route add local default dev lo
mount --bind "$0" /etc/resolv.conf
echo ready
exec sleep 3600
"""

Answer = Callable[[socket.socket, str, str], None]
"""Writes to the connection what `host` has at `path`."""


@dataclass
class Internet:
    namespace: NetworkNamespace
    pid: int
    answer: Answer
    names: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    """Addresses of each name: the first set for the first look-up, the last for all that follow."""
    silent: set[str] = field(default_factory=set)
    """Names for which nobody answers."""
    looked_up: Counter[str] = field(default_factory=Counter)
    connected: list[str] = field(default_factory=list)
    """`address:port` of every connection."""
    tls: ssl.SSLContext | None = None

    def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Call it in a thread that lives in the namespace."""
        return self.namespace.run(call, *arguments)

    @property
    def opened(self) -> int:
        """How many connections were begun in the namespace since it is there, whoever accepted."""
        lines = Path(f"/proc/{self.pid}/net/snmp").read_text().splitlines()
        names, values = (line.split() for line in lines if line.startswith("Tcp:"))
        return int(values[names.index("ActiveOpens")])

    @contextlib.contextmanager
    def server(self, home: Path, **settings: Any) -> Iterator[OcrServer]:
        """A server in it. What talks to it has to `run` in it as well."""
        inside = ("nsenter", f"--target={self.pid}", "--user", "--net", "--mount")
        manager = running_server(home, prefix=inside, **settings)
        server = self.run(manager.__enter__)
        try:
            yield server
        finally:
            self.run(manager.__exit__, None, None, None)


@contextlib.contextmanager
def internet(folder: Path, answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Internet]:
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {NAME_SERVER}\nsearch cluster.example\noptions timeout:1\n")
    command = ["unshare", "--map-root-user", "--net", "--mount", "sh", "-ec", _SETUP, str(resolver)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        world = Internet(NetworkNamespace(holder.pid), holder.pid, answer, tls=tls)
        listening = world.run(_listeners)
        try:
            names, *ports = listening
            threading.Thread(target=_serve_names, args=(world, names), daemon=True).start()
            for port in ports:
                threading.Thread(target=_accept, args=(world, port), daemon=True).start()
            yield world
        finally:
            for listener in listening:
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            world.namespace.close()
            holder.kill()


def http_answer(
    status: str, headers: Mapping[str, str] | None = None, body: bytes = b"", length: bool = True
) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _listeners() -> list[socket.socket]:
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind((NAME_SERVER, 53))
    return [names] + [
        socket.create_server((host, port), family=family, backlog=100)
        for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))  # noqa: S104
        for port in (80, 443)
    ]


def _accept(world: Internet, listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(world, connection), daemon=True).start()


def _serve(world: Internet, connection: socket.socket) -> None:
    address, port = connection.getsockname()[:2]
    world.connected.append(f"{address}:{port}")
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        stack.enter_context(connection)
        if port == 443:
            assert world.tls is not None
            connection = world.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
            stack.enter_context(connection)
            connection.do_handshake()
        request = b""
        while b"\r\n\r\n" not in request:
            if not (data := connection.recv(4096)):
                return
            request += data
        first, *headers = request.decode().split("\r\n")
        host = next(line[6:] for line in headers if line.lower().startswith("host: "))
        world.answer(connection, host, first.split()[1])


def _serve_names(world: Internet, names: socket.socket) -> None:
    while True:
        try:
            query, client = names.recvfrom(512)
        except OSError:
            return
        if not query:
            return
        name = _asked_name(query)
        if name not in world.silent:
            names.sendto(_name_answer(world, name, query), client)


def _asked_name(query: bytes) -> str:
    """https://www.rfc-editor.org/rfc/rfc1035#section-4"""
    labels, place = [], 12
    while query[place]:
        labels.append(query[place + 1 : place + 1 + query[place]].decode())
        place += 1 + query[place]
    return ".".join(labels)


def _name_answer(world: Internet, name: str, query: bytes) -> bytes:
    end = query.index(b"\0", 12) + 1
    kind = struct.unpack("!H", query[end : end + 2])[0]
    versions = {1: 4, 28: 6}  # A and AAAA
    sets = world.names.get(name)
    if kind == 1:
        world.looked_up[name] += 1
    at = min(max(world.looked_up[name] - 1, 0), len(sets or ()) - 1)
    found = [
        ip_address(address)
        for address in (sets[at] if sets else ())
        if ip_address(address).version == versions.get(kind)
    ]
    flags = 0x8180 if sets is not None else 0x8183  # NXDOMAIN
    head = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
    question = query[12 : end + 4]
    records = (
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(address.packed)) + address.packed
        for address in found
    )
    return head + question + b"".join(records)
