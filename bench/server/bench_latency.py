"""What HTTP, the queue and the children cost: the server beside its bare engine."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from bench.server.bare import BarePool, bare_pool
from bench.server.load import closed_loop, form, over_and_over, percentile
from bench.server.machine import settle, two_cores
from bench.server.report import at_least, at_most, finish, show, sized
from ocr_server import OcrServer, running_server
from pages import LETTER, tessdata
from scipy import stats

pytestmark = pytest.mark.timeout(3600)

LONGEST_RATIO = 1.05
LEAST_SHARE = 0.95
CLIENTS = 4
MODELS = ("tesseract", "pp-ocr")


@pytest.fixture(autouse=True)
def data() -> None:
    tessdata()


@pytest.mark.parametrize("model", MODELS)
def test_one_client(model: str, tmp_path: Path) -> None:
    """One page at a time through HTTP and through the engine alone, in turns."""
    pairs = sized({"tesseract": 60, "pp-ocr": 40}[model], 2)
    with (
        two_cores() as cores,
        bare_pool(model, 1, cores, LETTER) as bare,
        running_server(tmp_path, ocr_model=model) as server,
    ):
        settle(server.pid)
        over_http(server)
        measured = [both(bare, server, number % 2 == 0) for number in range(pairs)]
    alone, http = np.array(measured).T
    ratio = percentile(http, 50) / percentile(alone, 50)
    spread = stats.bootstrap(
        (alone, http),
        lambda a, b, axis: np.median(b, axis=axis) / np.median(a, axis=axis),
        paired=True,
        vectorized=True,
        rng=1,
    ).confidence_interval
    rows = [
        {
            "": name,
            "p50 s": percentile(seconds, 50),
            "p90 s": percentile(seconds, 90),
            "mean s": statistics.mean(seconds),
            "pages": len(seconds),
        }
        for name, seconds in (("bare engine", alone), ("HTTP", http))
    ]
    show(f"{model}, one client, A4 at 200 dpi", rows)
    print(f"p50 ratio {ratio:.4f}, 95 % interval {spread.low:.4f} to {spread.high:.4f}")
    finish(
        __file__,
        f"latency_{model}",
        {
            "bare_s": alone.round(4).tolist(),
            "http_s": http.round(4).tolist(),
            "p50_ratio": ratio,
            "p50_ratio_95": [spread.low, spread.high],
        },
        [at_most(f"{model}: HTTP p50 / bare p50", ratio, LONGEST_RATIO)],
    )


@pytest.mark.parametrize("model", MODELS)
def test_four_clients(model: str, tmp_path: Path) -> None:
    """Throughput beside the best pool of processes that the bare engine has."""
    rounds, pages = sized(4, 1), sized(16, 2)
    post = form("page.png", LETTER.read_bytes())
    speeds: dict[str, list[float]] = {}
    own = []
    with two_cores() as cores, ExitStack() as stack:
        pools = [
            stack.enter_context(bare_pool(model, processes, threads, LETTER))
            for processes in range(1, cores + 1)
            for threads in range(1, cores + 1)
        ]
        server = stack.enter_context(running_server(tmp_path, ocr_model=model))
        settle(server.pid)
        # Every engine has read one, as every process of the pools has.
        closed_loop(server.url, over_and_over([post], CLIENTS), CLIENTS)
        # In turns, so that a machine that slows down slows all of them.
        for _ in range(rounds):
            for pool in pools:
                speed = pool.pages_per_second([LETTER] * pages)
                speeds.setdefault(pool.name, []).append(speed)
            load = closed_loop(server.url, over_and_over([post], pages), CLIENTS)
            assert load.statuses == {"200": pages}, load.statuses
            speeds.setdefault("HTTP", []).append(load.per_second)
            own.append(load.own_cores)
    means = {name: statistics.mean(values) for name, values in speeds.items()}
    best = max((name for name in means if name != "HTTP"), key=means.__getitem__)
    share = means["HTTP"] / means[best]
    rows = [
        {"": name, "pages/s": means[name], "lowest": min(values), "highest": max(values)}
        for name, values in speeds.items()
    ]
    show(f"{model}, {CLIENTS} clients on {cores} cores", rows)
    print(f"the load generator took {statistics.mean(own):.3f} of a core")
    finish(
        __file__,
        f"throughput_{model}",
        {"pages_per_second": speeds, "best_pool": best, "load_generator_cores": own},
        [at_least(f"{model}: HTTP pages/s / {best} pages/s", share, LEAST_SHARE)],
    )


def both(bare: BarePool, server: OcrServer, bare_first: bool) -> tuple[float, float]:
    if bare_first:
        alone, text = bare.read(LETTER)
        http, answered = over_http(server)
    else:
        http, answered = over_http(server)
        alone, text = bare.read(LETTER)
    assert answered == text, "the two sides have not read the same"
    return alone, http


def over_http(server: OcrServer) -> tuple[float, str]:
    """From the file's bytes to the text in the parsed answer."""
    document = LETTER.read_bytes()
    began = time.perf_counter()
    answer: httpx.Response = server.read(document, headers={"Cache-Control": "no-store"})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["text"]
    return time.perf_counter() - began, text
