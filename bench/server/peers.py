"""Servers of others and ours, each started from nothing and asked the same pages."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from bench.server.load import Post, form
from cached_env import ROOT, cached_python
from ocr_server import free_port, start_server
from paddle_env import PADDLE, environment, paddle_python, tiny_models
from processes import MIB, resident

PATIENCE_S = 180.0
ASK_EVERY_S = 0.05

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A server that has answered. `cold_s` is from the start of its process to its first answer."""

    name: str
    url: str
    pid: int
    cold_s: float
    resident_mib: float
    """After the first answer."""
    posts: Sequence[Post]
    text: Callable[[bytes], str]
    """What an answer says."""


@contextmanager
def ours(name: str, home: Path, pages: Mapping[str, bytes], **settings: Any) -> Iterator[Peer]:
    posts = [form(page, document) for page, document in pages.items()]
    yield from _answering(name, start_ours(home, **settings), posts, _our_text)


@contextmanager
def rapidocr_api(
    name: str, home: Path, pages: Mapping[str, bytes], parameters: Parameters | None
) -> Iterator[Peer]:
    """As its command starts it; with `parameters`, the same server with these for its engine."""
    python, port = rapidocr_python(), free_port()
    command = (
        [python.with_name("rapidocr_api"), "-ip", "127.0.0.1", "-p", port]
        if parameters is None
        else [python, Path(__file__).with_name("rapidocr_peer.py"), port, json.dumps(parameters)]
    )
    posts = [form(page, document, field="image_file") for page, document in pages.items()]
    started = _start(command, port, home, ORT_DISABLE_TELEMETRY="1")
    yield from _answering(name, started, posts, _rapidocr_text)


@contextmanager
def our_paddle(name: str, home: Path, pages: Mapping[str, bytes]) -> Iterator[Peer]:
    """PaddleOCR-VL with tiny models, asked as PaddleX is."""
    weights = home / "cache" / "paddlex"
    weights.mkdir(parents=True)
    (weights / "official_models").symlink_to(tiny_models())
    # Another interpreter than that of the tests, which has no paddle.
    other = ("sh", "-c", 'shift && exec "$0" "$@"', str(paddle_python()))
    path = environment()["PYTHONPATH"]
    started = start_ours(home, other, ocr_model="paddleocr-vl", pythonpath=path)
    yield from _answering(name, started, _layout_posts(pages), _layout_text)


@contextmanager
def paddlex(
    name: str, home: Path, pages: Mapping[str, bytes], parameters: Parameters | None, threads: int
) -> Iterator[Peer]:
    """`paddlex --serve` with the same tiny models; without `parameters` all else is as it ships."""
    home.mkdir(parents=True, exist_ok=True)
    port, pipeline = free_port(), home / "pipeline.yaml"
    pipeline.write_text(yaml.safe_dump(_pipeline(parameters, threads), sort_keys=False))
    command = [paddlex_python(), "-m", "paddlex", "--serve", "--pipeline", pipeline]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", port]
    cache = {
        "PADDLE_PDX_CACHE_HOME": str(home / "paddlex"),
        "PADDLE_PDX_LOCAL_FONT_FILE_PATH": FONT,
    }
    started = _start(command, port, home, **cache)
    # Pictures of the pages with boxes take it longer than reading; nobody who wants text asks.
    posts = _layout_posts(pages, text_alone=parameters is not None)
    yield from _answering(name, started, posts, _layout_text)


FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf"
"""For pictures of the pages; otherwise it fetches one from the world."""


def rapidocr_python() -> Path:
    lock = ROOT / "requirements" / "bench.txt"
    return cached_python("bench-rapidocr", lock.read_bytes(), ("--require-hashes", "-r", str(lock)))


def paddlex_python() -> Path:
    lock = ROOT / "requirements" / "bench-paddlex.txt"
    return cached_python(
        "bench-paddlex",
        lock.read_bytes() + PADDLE.encode(),
        ("--require-hashes", "-r", str(lock)),
        ("--constraints", str(lock), PADDLE),
    )


@dataclass(frozen=True)
class _Started:
    process: subprocess.Popen[bytes]
    url: str
    log: Path
    at: float


def start_ours(home: Path, prefix: Sequence[str] = (), **settings: Any) -> _Started:
    at = time.monotonic()
    server = start_server(home, prefix=prefix, **settings)
    server.http.close()
    return _Started(server.process, server.url, home / "log", at)


def _start(command: Sequence[object], port: int, home: Path, **env: str) -> _Started:
    home.mkdir(parents=True, exist_ok=True)
    at, log = time.monotonic(), home / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=home,
            env=os.environ | {"HOME": str(home)} | env,
        )
    return _Started(process, f"http://127.0.0.1:{port}", log, at)


def _answering(
    name: str, started: _Started, posts: Sequence[Post], text: Callable[[bytes], str]
) -> Iterator[Peer]:
    process = started.process
    try:
        with httpx.Client(base_url=started.url, timeout=PATIENCE_S, trust_env=False) as http:
            while not _answered(http, posts[0]):
                log = started.log.read_text(errors="replace")[-3000:]
                assert process.poll() is None, f"{name} ended:\n{log}"
                assert time.monotonic() < started.at + PATIENCE_S, f"{name} never answers:\n{log}"
                time.sleep(ASK_EVERY_S)
        cold_s = time.monotonic() - started.at
        memory = sum(resident(process.pid)) / MIB
        yield Peer(name, started.url, process.pid, cold_s, memory, posts, text)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _answered(http: httpx.Client, post: Post) -> bool:
    try:
        answer = http.post(post.path, content=post.body, headers=post.headers)
    except httpx.ConnectError:
        return False
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


def _our_text(answer: bytes) -> str:
    return str(json.loads(answer)["text"])


def _rapidocr_text(answer: bytes) -> str:
    return "\n".join(line["rec_txt"] for line in json.loads(answer).values())


def _layout_posts(pages: Mapping[str, bytes], text_alone: bool = True) -> list[Post]:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return [
        Post(page, "/layout-parsing", _layout_request(document, text_alone), headers)
        for page, document in pages.items()
    ]


def _layout_request(document: bytes, text_alone: bool) -> bytes:
    """By default PaddleX draws pictures of the page with its boxes; we never make any."""
    wanted: dict[str, Any] = {"file": base64.b64encode(document).decode(), "fileType": 1}
    return json.dumps(wanted | ({"visualize": False} if text_alone else {})).encode()


def _layout_text(answer: bytes) -> str:
    pages = json.loads(answer)["result"]["layoutParsingResults"]
    blocks = [block for page in pages for block in page["prunedResult"]["parsing_res_list"]]
    return "\n".join(block["block_content"] for block in blocks)


def _pipeline(parameters: Parameters | None, threads: int) -> dict[str, Any]:
    installed = sorted(paddlex_python().parents[1].glob("lib/python3*/site-packages/paddlex"))[0]
    file = installed / "configs" / "pipelines" / "PaddleOCR-VL-1.6.yaml"
    pipeline: dict[str, Any] = yaml.safe_load(file.read_text())
    for model in pipeline["SubModules"].values():
        model["model_dir"] = str(tiny_models() / model["model_name"])
    if parameters is not None:
        pipeline |= parameters
        pipeline["SubModules"]["LayoutDetection"]["engine_config"] = {"cpu_threads": threads}
    return pipeline
