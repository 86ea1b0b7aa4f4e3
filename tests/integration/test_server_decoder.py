"""Decoders that crash, stand still, spin or want too much memory: each costs its document alone."""

from __future__ import annotations

import os
import resource
import signal
import struct
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import documents
import psutil
import pytest
from ocr_server import OcrServer, memory_limit, picture, refusal, running_server

GIB = 1024**3
SHADING = (
    "/Resources << /Shading << /S << /ShadingType 2 /ColorSpace /DeviceRGB /Coords [0 0 999 999] "
    "/Function << /FunctionType 2 /Domain [0 1] /C0 [1 0 0] /C1 [0 0 1] /N 1 >> >> >> >>"
)
SPINNING = documents.pdf((1000, 1000), content="/S sh " * 10_000, extra=SHADING)
"""A page that is painted ten thousand times over: it needs ten minutes, and little memory."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OcrServer]:
    with running_server(
        tmp_path_factory.mktemp("server"),
        prefix=memory_limit(GIB),
        ocr_max_pixels=10**9,
        ocr_max_side=40_000,
    ) as server:
        yield server
        assert server.left_behind == []


def decoder(server: OcrServer) -> psutil.Process:
    (pid,) = server.children("decode")
    return psutil.Process(pid)


def test_a_killed_decoder_is_replaced(server: OcrServer) -> None:
    killed = decoder(server)
    killed.kill()
    server.wait_for(lambda: server.child("decode") is None)
    assert server.read(picture()).status_code == 200


def test_a_decoder_that_stands_still_has_the_time_of_the_request_and_no_more(
    server: OcrServer,
) -> None:
    os.kill(decoder(server).pid, signal.SIGSTOP)
    late = server.read(picture(), data={"timeout_s": "3"})
    assert refusal(late) == (504, "deadline_exceeded")
    began = time.monotonic()
    assert server.read(picture()).status_code == 200
    assert time.monotonic() - began < 10


def test_a_decoder_that_spins_has_the_time_of_the_request_on_one_core(server: OcrServer) -> None:
    spun = decoder(server)
    assert spun.num_threads() == 1  # so that its deadline bounds the processor's time as well
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(server.read, SPINNING, data={"timeout_s": "5"})
        before = spun.cpu_times().user
        server.wait_for(lambda: spun.cpu_times().user > before + 0.2)
        assert refusal(late.result()) == (504, "deadline_exceeded")
    server.wait_for(lambda: not spun.is_running(), 10)
    assert server.read(picture()).status_code == 200


def test_a_document_that_needs_more_memory_than_a_decoder_has_is_refused_alone(
    server: OcrServer,
) -> None:
    asked = decoder(server)
    assert resource.prlimit(asked.pid, resource.RLIMIT_AS) == (768 << 20, 768 << 20)
    refused = server.read(claiming(30_000))
    assert refusal(refused) == (422, "too_many_pixels")
    assert "more memory" in refused.json()["error"]["message"]
    assert server.read(picture()).status_code == 200
    assert decoder(server) == asked


def claiming(side: int) -> bytes:
    """A small PNG whose header says so."""
    data = bytearray(picture())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)
