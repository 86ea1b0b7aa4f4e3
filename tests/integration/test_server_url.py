"""`image_url` where every address of the world answers: what is fetched, what is never touched."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from internet import Internet, http_answer, internet
from ocr_server import OcrServer, picture, refusal

PUBLIC, OTHER = "93.184.216.34", "198.41.0.4"
PUBLIC_V6 = "2606:2800:220:1::34"
MAX_BYTES = 200_000
TIMEOUT_S = 1.5

PRIVATE = """
    169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42 100.100.100.200 192.0.0.192
    168.63.129.16 127.0.0.1 127.1.2.3 0.0.0.0 10.0.0.1 172.16.5.4 192.168.0.1 100.64.0.1
    [fd00:ec2::254] [fd00:ec2::23] [fd20:ce::254] [fd00:42::42] [::1] [::] [::ffff:127.0.0.1]
    [::ffff:169.254.169.254] [::ffff:8.8.8.8] [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::a00:1]
    [2002:7f00:1::] [2001:0:7f00:1::] [2606:4700::5efe:10.0.0.1] [2606:4700::200:5efe:10.0.0.1]
""".split()  # noqa: SIM905
SPELLINGS = """
    2130706433 0x7f.1 0x7f000001 127.1 0 0177.0.0.1 127.0.0.1. localhost localhost.
    user@93.184.216.34 93.184.216.34:8080 93.184.216.34:22 %31%32%37.0.0.1
    [::1%25lo] [fe80::1%25lo] ①②⑦.⓪.⓪.① private.example. PRIVATE.example mixed.example
    mixed6.example metadata.example nothing.example
""".split()  # noqa: SIM905
NAMES = {
    "public.example": [[PUBLIC]],
    "six.example": [[PUBLIC_V6]],
    "other.example": [[OTHER]],
    "denied.other.example": [[OTHER]],
    "private.example": [["10.1.2.3"]],
    "mixed.example": [[PUBLIC, "10.1.2.3"]],
    "mixed6.example": [[PUBLIC, "::ffff:10.1.2.3"]],
    "metadata.example": [["169.254.169.254"]],
    "rebinding.example": [[PUBLIC], ["169.254.169.254"]],
    "turning.example": [["169.254.169.254"], [PUBLIC]],
    # What the search list of a cluster would make of a public name.
    "public.example.cluster.example": [["10.1.2.3"]],
}


def answer(connection: socket.socket, host: str, path: str) -> None:
    """What the whole world serves."""
    whole = picture()
    say = connection.sendall
    match path.partition("?")[0].split("/")[1:]:
        case ["page.png"]:
            say(http_answer("200 OK", {"Content-Type": "text/html"}, whole))
        case ["unknown-length"]:
            say(http_answer("200 OK", body=whole, length=False))
        case ["to", *target]:
            say(http_answer("302 Found", {"Location": "/".join(target)}))
        case ["round", count]:
            say(
                http_answer(
                    "307 Go",
                    {"Location": f"/round/{int(count) - 1}" if count != "0" else "/page.png"},
                )
            )
        case ["status", status]:
            say(http_answer(f"{status} Status", body=whole))
        case ["announced"]:
            say(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        case ["endless"]:
            say(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                say(bytes(10_000))
        case ["bomb"]:
            bomb = gzip.compress(bytes(50_000_000))
            say(http_answer("200 OK", {"Content-Encoding": "gzip"}, bomb))
        case ["silent"]:
            time.sleep(20)
        case ["drip"]:
            say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while True:
                say(b"x")
                time.sleep(0.1)
        case ["headers"]:
            while True:
                say(b"HTTP/1.1 100 Continue\r\n\r\n")
        case ["nonsense"]:
            say(b"SSH-2.0-OpenSSH_9\r\n")
        case ["cut"]:
            say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
        case _:
            say(http_answer("404 Not Found"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate for public.example that the server trusts, and the other side of it."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate", folder / "key"
    names = "subjectAltName=DNS:public.example"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-subj /CN=test -addext {names} -keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, authority: tuple[Path, ssl.SSLContext]
) -> Iterator[Internet]:
    with internet(tmp_path_factory.mktemp("internet"), answer, authority[1]) as world:
        yield world


@pytest.fixture(scope="module")
def server(
    world: Internet,
    authority: tuple[Path, ssl.SSLContext],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OcrServer]:
    with world.server(
        tmp_path_factory.mktemp("server"),
        ocr_url_enabled="true",
        ocr_url_max_bytes=MAX_BYTES,
        ocr_url_timeout_s=TIMEOUT_S,
        ssl_cert_file=authority[0],
        # Proxies of the environment would do the connecting for us, without any check.
        http_proxy="http://10.9.9.9:3128",
        https_proxy="http://10.9.9.9:3128",
        all_proxy="http://10.9.9.9:3128",
    ) as server:
        yield server
        assert server.left_behind == []


@pytest.fixture(autouse=True)
def fresh(world: Internet) -> None:
    world.names = dict(NAMES)
    world.silent.clear()
    world.looked_up.clear()
    world.connected.clear()


def fetch(world: Internet, server: OcrServer, url: str, **fields: str) -> httpx.Response:
    form: Any = {name: (None, value) for name, value in {"image_url": url, **fields}.items()}
    return world.run(lambda: server.http.post("/ocr", files=form))


def blocked(world: Internet, server: OcrServer) -> float:
    lines = world.run(server.get, "/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("ocr_url_blocked_total"))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://public.example/page.png", f"{PUBLIC}:80"),
        ("http://public.example./page.png?signature=abc#part", f"{PUBLIC}:80"),
        (f"http://{PUBLIC}/unknown-length", f"{PUBLIC}:80"),
        (f"http://[{PUBLIC_V6}]/page.png", f"{PUBLIC_V6}:80"),
        ("http://six.example/page.png", f"{PUBLIC_V6}:80"),
        ("https://public.example/page.png", f"{PUBLIC}:443"),
    ],
)
def test_a_public_document_is_read(
    world: Internet, server: OcrServer, url: str, address: str
) -> None:
    answer = fetch(world, server, url)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"].startswith("The quick brown fox")
    assert answer.json()["usage"]["bytes"] == len(picture())
    assert world.connected == [address]


@pytest.mark.parametrize("host", [*PRIVATE, *SPELLINGS])
def test_what_is_not_public_is_refused_with_one_sentence_and_no_connection(
    world: Internet, server: OcrServer, host: str
) -> None:
    before = blocked(world, server)
    opened = world.opened
    answers = [fetch(world, server, f"{scheme}://{host}/page.png") for scheme in ("http", "https")]
    # The kernel counts what nobody accepted too. The tests' own connection is kept open.
    assert (world.opened, world.connected) == (opened, [])
    assert {refusal(answer) for answer in answers} == {(422, "url_not_allowed")}
    same = fetch(world, server, "gopher://127.0.0.1/").json()["error"]
    assert all(answer.json()["error"] == same for answer in answers)
    assert blocked(world, server) == before + 3


def test_a_name_is_looked_up_once_and_a_changed_answer_comes_too_late(
    world: Internet, server: OcrServer
) -> None:
    assert fetch(world, server, "http://rebinding.example/page.png").status_code == 200
    assert world.looked_up == {"rebinding.example": 1}
    assert world.connected == [f"{PUBLIC}:80"]
    assert refusal(fetch(world, server, "http://rebinding.example/page.png"))[0] == 422
    assert world.connected == [f"{PUBLIC}:80"]
    # A redirect to the same name is checked anew.
    world.names["rebinding.example"] = NAMES["rebinding.example"]
    world.looked_up.clear()
    again = fetch(world, server, "http://rebinding.example/to/http://rebinding.example/page.png")
    assert refusal(again) == (422, "url_not_allowed")
    assert world.connected == [f"{PUBLIC}:80"] * 2


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://private.example/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433/",
        "//127.0.0.1/page.png",
        "http://other.example/to/http://10.0.0.1/page.png",
        "file:///etc/passwd",
        "http://public.example:8081/",
        "http://[",
        "http://[abc]/",
        "http://a]b/",
    ],
)
def test_no_redirect_leads_to_a_private_address(
    world: Internet, server: OcrServer, target: str
) -> None:
    answer = fetch(world, server, f"http://public.example/to/{target}")
    assert refusal(answer) == (422, "url_not_allowed")
    assert set(world.connected) <= {f"{PUBLIC}:80", f"{OTHER}:80"}


def test_redirects_are_followed_so_far_and_never_from_tls(
    world: Internet, server: OcrServer
) -> None:
    assert fetch(world, server, "http://public.example/round/2").status_code == 200
    assert refusal(fetch(world, server, "http://public.example/round/3")) == (
        502,
        "url_fetch_failed",
    )
    elsewhere = fetch(world, server, "http://other.example/to/https://public.example/page.png")
    assert elsewhere.status_code == 200
    down = fetch(world, server, "https://public.example/to/http://public.example/page.png")
    assert refusal(down) == (422, "url_not_allowed")


def test_a_certificate_of_another_name_is_not_accepted(world: Internet, server: OcrServer) -> None:
    assert refusal(fetch(world, server, "https://other.example/page.png")) == (
        502,
        "url_fetch_failed",
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("announced", (413, "file_too_large")),
        ("endless", (413, "file_too_large")),
        ("bomb", (502, "url_fetch_failed")),
        ("silent", (502, "url_fetch_failed")),
        ("drip", (502, "url_fetch_failed")),
        ("headers", (502, "url_fetch_failed")),
        ("nonsense", (502, "url_fetch_failed")),
        ("cut", (502, "url_fetch_failed")),
        ("status/404", (502, "url_fetch_failed")),
        ("status/206", (502, "url_fetch_failed")),
    ],
)
def test_a_bad_host_costs_a_bounded_time_and_nothing_else(
    world: Internet, server: OcrServer, path: str, expected: tuple[int, str]
) -> None:
    began = time.monotonic()
    assert refusal(fetch(world, server, f"http://public.example/{path}")) == expected
    assert time.monotonic() - began < TIMEOUT_S + 3
    assert world.run(server.metric, "ocr_queue_pages") == 0


def test_a_host_that_sends_too_slowly_is_given_up_long_before_the_timeout(
    world: Internet, tmp_path: Path
) -> None:
    with world.server(tmp_path, ocr_url_enabled="true", ocr_url_timeout_s=60) as server:
        answer = fetch(world, server, "http://public.example/drip")
        assert refusal(answer) == (502, "url_fetch_failed")
        assert (
            answer.json()["error"]["message"]
            == "The URL was not fetched: its host sends too slowly."
        )


def test_a_fetched_file_is_judged_like_an_upload(world: Internet, server: OcrServer) -> None:
    assert refusal(fetch(world, server, "http://public.example/status/200", pages="9")) == (
        422,
        "invalid_pages",
    )
    both = world.run(
        lambda: server.read(picture(), data={"image_url": "http://public.example/page.png"})
    )
    assert refusal(both) == (422, "source_ambiguous")
    assert world.connected == [f"{PUBLIC}:80"]


def test_no_url_is_logged(world: Internet, server: OcrServer) -> None:
    fetch(world, server, "http://public.example/page.png?X-Amz-Signature=s3cr3t")
    fetch(world, server, "http://169.254.169.254/?X-Amz-Signature=s3cr3t")
    assert "s3cr3t" not in server.log


def test_only_listed_hosts_and_even_those_only_where_they_are_public(
    world: Internet, tmp_path: Path
) -> None:
    hosts = "public.example,*.other.example,private.example,10.0.0.1"
    with world.server(tmp_path, ocr_url_enabled="true", ocr_url_allowed_hosts=hosts) as server:
        assert fetch(world, server, "http://public.example/page.png").status_code == 200
        assert fetch(world, server, "http://denied.other.example/page.png").status_code == 200
        world.connected.clear()
        world.looked_up.clear()
        for host in ("other.example", "six.example", PUBLIC, "private.example", "10.0.0.1"):
            assert refusal(fetch(world, server, f"http://{host}/page.png"))[0] == 422
        assert (world.connected, world.looked_up) == ([], {"private.example": 1})
        away = fetch(world, server, "http://public.example/to/http://other.example/page.png")
        assert refusal(away) == (422, "url_not_allowed")


def test_names_that_nobody_answers_for_stop_one_client_alone(
    world: Internet, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("greedy", "other"):
        (keys / name).write_text(f"key-of-{name}")
    world.silent.add("silent.example")
    url = "http://silent.example/page.png"
    form = f'--b\r\nContent-Disposition: form-data; name="image_url"\r\n\r\n{url}\r\n--b--\r\n'
    request = (
        "POST /ocr HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-greedy\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {len(form)}\r\n\r\n{form}"
    ).encode()
    with (
        world.server(
            tmp_path,
            ocr_url_enabled="true",
            ocr_url_timeout_s=6,
            ocr_auth_mode="Token",
            ocr_keys_dir=keys,
        ) as server,
        contextlib.ExitStack() as asked,
    ):
        for _ in range(40):
            address = ("127.0.0.1", server.port)
            sock = asked.enter_context(world.run(socket.create_connection, address, 20))
            sock.sendall(request)
        server.wait_for(lambda: world.run(server.metric, "ocr_queue_pages") >= 30)
        headers = {"Authorization": "Bearer key-of-other"}
        files: Any = {"image_url": (None, "http://public.example/page.png")}
        answer = world.run(lambda: server.http.post("/ocr", files=files, headers=headers))
        assert answer.status_code == 200, answer.text
        assert world.run(server.metric, "ocr_queue_pages") >= 20  # they still wait
        assert b" 502 " in sock.recv(4096)


def test_urls_are_off_until_somebody_turns_them_on(world: Internet, tmp_path: Path) -> None:
    with world.server(tmp_path) as server:
        assert refusal(fetch(world, server, "http://public.example/page.png")) == (
            422,
            "url_not_allowed",
        )
        assert (world.connected, world.looked_up) == ([], {})
