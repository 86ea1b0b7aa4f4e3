"""Beside the servers that people would run instead, on the same pages in the same run."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from bench.server.load import Load, closed_loop, over_and_over, percentile
from bench.server.machine import settle, two_cores
from bench.server.peers import Peer, our_paddle, ours, paddlex, rapidocr_api
from bench.server.report import Bar, at_least, at_most, finish, show, sized
from cer import cer
from pages import LETTER, REPORT, truth
from PIL import Image
from processes import memory_watched
from pypdfium2 import PdfDocument

from ocr_inference.engine import pp_ocr

pytestmark = pytest.mark.timeout(7200)

CLIENTS = 8
ROUNDS = sized(4, 1)
LEAST_RATIO_EQUAL = 1.0
LEAST_RATIO_DEFAULTS = 1.5

OURS, EQUAL, DEFAULTS = "ours", "theirs, our parameters", "theirs, their defaults"


def test_rapidocr_api(tmp_path: Path) -> None:
    """RapidOCR behind its own server. `ours` has our defaults, which are the equal parameters."""
    pages, truths = _pages()
    with two_cores() as cores, ExitStack() as stack:
        threads = {"EngineConfig.onnxruntime.intra_op_num_threads": cores}
        peers = [
            stack.enter_context(peer)
            for peer in (
                ours(OURS, tmp_path / "ours", pages, ocr_model="pp-ocr"),
                rapidocr_api(EQUAL, tmp_path / "equal", pages, {**pp_ocr._PARAMETERS, **threads}),
                rapidocr_api(DEFAULTS, tmp_path / "defaults", pages, None),
            )
        ]
        measured = _measured(peers, each=sized(24, 2))
    errors = {
        peer.name: {page: cer(truths[page], text) for page, text in _texts(peer, measured).items()}
        for peer in peers
    }
    mean = {name: statistics.mean(pages.values()) for name, pages in errors.items()}
    show(
        f"RapidOCR, {CLIENTS} clients on {cores} cores, A4 at 200 dpi",
        [{**row, "CER": mean[str(row[""])]} for row in _rows(peers, measured)],
    )
    bars = [
        *_bars("rapidocr_api", measured),
        at_least(
            "rapidocr_api: pages/s, ours / theirs with their defaults",
            _speed(measured[OURS][0]) / _speed(measured[DEFAULTS][0]),
            LEAST_RATIO_DEFAULTS,
        ),
        at_most("rapidocr_api: our CER", mean[OURS], mean[DEFAULTS]),
    ]
    finish(__file__, "rapidocr_api", {**_kept(peers, measured), "cer": errors}, bars)


def test_paddlex_serve(tmp_path: Path) -> None:
    """PaddleOCR-VL behind PaddleX's server, with tiny models that always say the same: what is
    compared is everything around them. The published models are on hubs only, those of PaddleX's
    OCR pipeline too."""
    pages = {"letter.png": _png(Image.open(LETTER))}
    ours_too = {
        "use_queues": False,
        "use_chart_recognition": True,
        "use_seal_recognition": True,
    }
    with two_cores() as cores, ExitStack() as stack:
        peers = [
            stack.enter_context(peer)
            for peer in (
                our_paddle(OURS, tmp_path / "ours", pages),
                paddlex(EQUAL, tmp_path / "equal", pages, ours_too, cores),
                paddlex(DEFAULTS, tmp_path / "defaults", pages, None, cores),
            )
        ]
        measured = _measured(peers, each=sized(24, 2))
    # Formulas come with or without the dollar signs around them.
    said = [_texts(peer, measured)["letter.png"].replace("$", "").split() for peer in peers]
    assert said[0] == said[1] == said[2], "the servers have not read the same"
    show(
        f"PaddleOCR-VL with tiny models, {CLIENTS} clients on {cores} cores",
        _rows(peers, measured),
    )
    # Beside its defaults there is no bar: where the models take next to nothing, parameters of the
    # models cannot make one side faster. The ratio is in the table.
    bars = _bars("paddlex --serve", measured)
    finish(__file__, "paddlex_serve", _kept(peers, measured), bars)


Measured = Mapping[str, tuple[list[Load], list[float]]]
"""By the server's name: its loads, and its peak of memory in each, MiB."""


def _measured(peers: Sequence[Peer], each: int) -> Measured:
    """In turns, so that a machine that slows down slows all of them."""
    found: dict[str, tuple[list[Load], list[float]]] = {peer.name: ([], []) for peer in peers}
    settle(*(peer.pid for peer in peers))
    for peer in peers:
        closed_loop(peer.url, over_and_over(peer.posts, sized(CLIENTS, 1)), CLIENTS)
    for number in range(ROUNDS):
        for peer in peers[number % len(peers) :] + peers[: number % len(peers)]:
            with memory_watched(peer.pid, 0.5) as memory:
                load = closed_loop(peer.url, over_and_over(peer.posts, each), CLIENTS)
            assert load.statuses == {"200": each}, (peer.name, load.statuses)
            found[peer.name][0].append(load)
            found[peer.name][1].append(memory.peak_mib)
    return found


def _texts(peer: Peer, measured: Measured) -> dict[str, str]:
    loads, _ = measured[peer.name]
    return {sample.name: peer.text(sample.body) for load in loads for sample in load.samples}


def _speed(loads: Sequence[Load]) -> float:
    """Pages a second over all rounds."""
    return sum(len(load.samples) for load in loads) / sum(load.wall_s for load in loads)


def _seconds(loads: Sequence[Load]) -> list[float]:
    return [seconds for load in loads for seconds in load.seconds()]


def _rows(peers: Sequence[Peer], measured: Measured) -> list[dict[str, object]]:
    return [
        {
            "": peer.name,
            "pages/s": _speed(loads),
            "p50 s": percentile(_seconds(loads), 50),
            "p99 s": percentile(_seconds(loads), 99),
            "pages": len(_seconds(loads)),
            "cold start s": peer.cold_s,
            "RSS MiB": peer.resident_mib,
            "peak MiB": max(peaks),
            "load generator, cores": statistics.mean(load.own_cores for load in loads),
        }
        for peer in peers
        for loads, peaks in [measured[peer.name]]
    ]


def _bars(peer: str, measured: Measured) -> list[Bar]:
    (mine, _), (equal, _) = (measured[name] for name in (OURS, EQUAL))
    p99 = percentile(_seconds(mine), 99), percentile(_seconds(equal), 99)
    return [
        at_least(
            f"{peer}: pages/s, ours / theirs with our parameters",
            _speed(mine) / _speed(equal),
            LEAST_RATIO_EQUAL,
        ),
        at_most(f"{peer}: our p99 s, theirs with our parameters", *p99),
    ]


def _kept(peers: Sequence[Peer], measured: Measured) -> dict[str, object]:
    return {
        "servers": {
            peer.name: {
                "cold_s": peer.cold_s,
                "resident_mib": peer.resident_mib,
                "peak_mib": peaks,
                "rounds": [load.summary() for load in loads],
            }
            for peer in peers
            for loads, peaks in [measured[peer.name]]
        }
    }


def _pages() -> tuple[dict[str, bytes], dict[str, str]]:
    """The English example pages as RGB: rapidocr_api takes a palette's indices for shades."""
    said = truth(REPORT).split("\f")
    images = {"letter.png": Image.open(LETTER)}
    images |= {f"report-{n}.png": image for n, image in enumerate(_rendered(REPORT), start=1)}
    truths = dict(zip(images, [truth(LETTER), *said], strict=True))
    return {name: _png(image) for name, image in images.items()}, truths


def _rendered(file: Path) -> Iterator[Image.Image]:
    document = PdfDocument(file)
    for page in document:
        yield page.render(scale=200 / 72).to_pil()
    document.close()


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", dpi=(200, 200))
    return buffer.getvalue()
