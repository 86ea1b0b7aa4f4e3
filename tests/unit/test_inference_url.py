"""`image_url`: which addresses and spellings are refused, and to what a name is pinned."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from ocr_inference.sources.addresses import is_public
from ocr_inference.sources.lookup import MOST_OF_CLIENT, Lookups
from ocr_inference.sources.target import Blocked, Target, is_allowed, parse
from ocr_inference.sources.url import PublicOnly

METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.42.42",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
)
LOCAL = (
    "0.0.0.0",  # noqa: S104
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1%eth0",
    "fec0::1",
    "fc00::1",
    "ff0e::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
)
HOLDING_ANOTHER = (
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::10.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
)


@pytest.mark.parametrize("address", METADATA + LOCAL + HOLDING_ANOTHER)
def test_what_is_not_the_internet_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700:4700::1111"])
def test_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("http://example.org", Target("http", "example.org", 80, "/", None)),
        ("HTTPS://Example.ORG.:443?a=b#c", Target("https", "example.org", 443, "/?a=b", None)),
        ("http://example.org/ä b".replace(" ", "%20"), None),
        ("http://1.2.3.4/x", Target("http", "1.2.3.4", 80, "/x", ip_address("1.2.3.4"))),
        ("http://[2606::1]/", Target("http", "2606::1", 80, "/", ip_address("2606::1"))),
        ("http://xn--e1afmkfd.example/", Target("http", "xn--e1afmkfd.example", 80, "/", None)),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, taken: Target | None) -> None:
    taken = taken or Target("http", "example.org", 80, "/%C3%A4%20b", None)
    assert parse(url) == taken


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http:///path",
        "http://user@example.org/",
        "http://user:word@example.org/",
        "http://example.org@127.0.0.1/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org:22/",
        "http://example.org:443/",
        "https://example.org:80/",
        "http://example.org:0080000/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://127.1/",
        "http://0/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://1.2.3.4.5/",
        "http://1.2.3.4../",
        "http://example.org../",
        "http://.example.org/",
        "http://example..org/",
        "http://-example.org/",
        "http://%31%32%37.0.0.1/",
        "http://example%2eorg/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[127.0.0.1]x/",
        "http://[1.2.3.4]extra/",
        "http://[::g]/",
        "http://①②⑦.⓪.⓪.①/",
        "http://exämple.org/",
        "http://example。org/",
        "http://example.org/a b",
        "http://example.org/a\r\nHost: x",
        "http://exa\tmple.org/",
        "http://example.org/\0",
        " http://example.org/",
        "http://example.org/" + "a" * 9000,
        "http://" + "a" * 64 + ".org/",
        "http://" + "a." * 130 + "org/",
    ],
)
def test_an_odd_spelling_is_refused(url: str) -> None:
    with pytest.raises(Blocked):
        parse(url)


def test_a_redirect_is_parsed_anew_and_keeps_tls() -> None:
    base = parse("https://example.org/a/b?c")
    assert str(base.redirected("d")) == "https://example.org/a/d"
    assert str(base.redirected("//other.example/x")) == "https://other.example/x"
    assert str(base.redirected("https://[2606::1]/x")) == "https://[2606::1]/x"
    for location in ("http://example.org/", "https://a@b/", "file:///x", "https://x:8080/"):
        with pytest.raises(Blocked):
            base.redirected(location)


@pytest.mark.parametrize("location", ["http://[", "http://[abc]/", "http://a]b/", "//[::1"])
def test_a_redirect_to_what_is_no_url_is_refused(location: str) -> None:
    with pytest.raises(Blocked, match="malformed"):
        parse("http://example.org/a").redirected(location)


@pytest.mark.parametrize(
    ("host", "allowed", "let"),
    [
        ("anything.example", (), True),
        ("docs.example", ("docs.example",), True),
        ("a.docs.example", ("docs.example",), False),
        ("a.docs.example", ("*.docs.example",), True),
        ("docs.example", ("*.docs.example",), False),
        ("evildocs.example", ("*.docs.example", "docs.example"), False),
    ],
)
def test_the_list_of_hosts(host: str, allowed: tuple[str, ...], let: bool) -> None:
    assert is_allowed(host, allowed) is let


class Connector(AsyncNetworkBackend):
    """Remembers to what it was told to connect, and refuses the addresses in `dead`."""

    def __init__(self, dead: Iterable[str] = ()) -> None:
        self.connected: list[str] = []
        self._dead = set(dead)

    async def connect_tcp(self, host: str, *_: Any, **__: Any) -> AsyncNetworkStream:
        self.connected.append(host)
        if host in self._dead:
            raise httpcore.ConnectError
        return AsyncNetworkStream()


def connect(
    answers: Callable[[str, int], list[Any]], connector: Connector, name: str = "x.example"
) -> None:
    asyncio.run(PublicOnly(Lookups(5.0, answers), "x", connector).connect_tcp(name, 80))


def test_a_name_is_resolved_once_and_the_checked_address_is_connected_to() -> None:
    asked, connector = [], Connector()

    def rebinding(host: str, _port: int) -> list[Any]:
        asked.append(host)
        return [ip_address("93.184.216.34" if len(asked) == 1 else "127.0.0.1")]

    connect(rebinding, connector)
    assert (asked, connector.connected) == (["x.example"], ["93.184.216.34"])


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["10.0.0.1", "93.184.216.34"]]
)
def test_one_private_answer_is_enough_to_refuse_without_a_connection(answers: list[str]) -> None:
    connector = Connector()
    with pytest.raises(Blocked, match="address"):
        connect(lambda _host, _port: [ip_address(a) for a in answers], connector)
    assert connector.connected == []


@pytest.mark.parametrize("address", METADATA + LOCAL + HOLDING_ANOTHER)
def test_a_private_address_is_never_connected_to(address: str) -> None:
    connector = Connector()
    with pytest.raises(Blocked, match="address"):
        connect(lambda _host, _port: [], connector, address)
    assert connector.connected == []


def test_the_next_address_is_tried_and_not_too_many() -> None:
    answers = [ip_address(f"93.184.216.{last}") for last in range(1, 9)]
    one_dead = Connector(["93.184.216.1"])
    connect(lambda _host, _port: answers, one_dead)
    assert one_dead.connected == ["93.184.216.1", "93.184.216.2"]
    all_dead = Connector(map(str, answers))
    with pytest.raises(httpcore.ConnectError):
        connect(lambda _host, _port: answers, all_dead)
    assert len(all_dead.connected) == 4


@pytest.mark.parametrize(
    ("number", "expected"),
    [(socket.EAI_NONAME, Blocked), (socket.EAI_AGAIN, httpcore.ConnectError)],
)
def test_an_unknown_name_is_refused_like_a_private_one(
    number: int, expected: type[Exception]
) -> None:
    def fail(_host: str, _port: int) -> list[Any]:
        raise socket.gaierror(number, "")

    with pytest.raises(expected):
        connect(fail, Connector())


def test_a_client_whose_names_nobody_answers_for_stops_no_other() -> None:
    over, begun = threading.Event(), []

    def silent(host: str, _port: int) -> list[Any]:
        if host == "silent.example":
            begun.append(host)
            over.wait(20)
        return [ip_address("93.184.216.34")]

    async def scenario() -> None:
        lookups = Lookups(0.2, silent)
        asked = [
            asyncio.create_task(lookups.addresses("greedy", "silent.example", 80))
            for _ in range(40)
        ]
        found = await lookups.addresses("other", "x.example", 80)
        assert found == [ip_address("93.184.216.34")]
        ended, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        with pytest.raises(TimeoutError):
            ended.pop().result()
        # Given up, they still have their threads: no more of this client begin.
        assert len(begun) == MOST_OF_CLIENT
        for task in waiting:
            task.cancel()
        over.set()
        assert await lookups.addresses("greedy", "x.example", 80) == found

    asyncio.run(scenario())
