"""A server with far more work than it can do: what its probes see, and what it tells who is too
many."""

from __future__ import annotations

import statistics
from collections import Counter
from pathlib import Path

import pytest
from bench.server.apart import Probing, probed
from bench.server.load import closed_loop, form, open_loop, over_and_over, percentile
from bench.server.machine import settle, two_cores
from bench.server.report import Bar, at_most, finish, show, sized
from ocr_server import running_server
from pages import LETTER, tessdata
from processes import MIB, MemoryCurve, memory_watched

pytestmark = pytest.mark.timeout(1800)

CLIENTS = 64
SECONDS = sized(60, 6)
ROUTES = ("/livez", "/readyz", "/startupz", "/health")
PROBE_EVERY_S = 0.05
MOST_PROBE_S = 0.1

FULL_AT_PAGES = 8
ARRIVALS_PER_S = 100
MOST_REFUSAL_S = 0.05
MOST_GROWTH = 1.1

SCRIPT = {"page_seconds": 0.1}
MODELS = ("scripted", "tesseract")


@pytest.fixture(autouse=True)
def data() -> None:
    tessdata()


@pytest.mark.parametrize("model", MODELS)
def test_probes_of_a_busy_server(model: str, tmp_path: Path) -> None:
    """64 clients, each with its next page as soon as it has the last."""
    post = form("page.png", LETTER.read_bytes())
    with two_cores(), running_server(tmp_path, SCRIPT, ocr_model=model) as server:
        settle(server.pid)
        with probed(server.port, ROUTES, PROBE_EVERY_S) as probing:
            load = closed_loop(server.url, over_and_over([post]), CLIENTS, SECONDS)
    assert set(load.statuses) <= {"200"}, load.statuses
    show(f"{model}, {CLIENTS} clients for {SECONDS} s", _rows(probing))
    print(
        f"{load.per_second:.2f} pages/s; the load generator took {load.own_cores:.2f} of a core, "
        f"the prober waited {probing.kept_waiting_s:.2f} s for one"
    )
    finish(
        __file__,
        f"busy_{model}",
        {"probes": vars(probing), "load": load.summary()},
        _probe_bars(model, probing),
    )


@pytest.mark.parametrize("model", MODELS)
def test_refusals_of_a_full_server(model: str, tmp_path: Path) -> None:
    """A hundred requests a second for a queue of eight pages."""
    post = form("page.png", LETTER.read_bytes())
    settings = {"ocr_model": model, "ocr_queue_max_pages": FULL_AT_PAGES}
    with two_cores(), running_server(tmp_path, SCRIPT, **settings) as server:
        settle(server.pid)
        # A while to reach what it holds when it is full.
        open_loop(server.url, post, ARRIVALS_PER_S, SECONDS / 6)
        with (
            memory_watched(server.pid) as memory,
            probed(server.port, ROUTES, PROBE_EVERY_S) as probing,
        ):
            load = open_loop(server.url, post, ARRIVALS_PER_S, SECONDS)
    assert set(load.statuses) == {"200", "503"}, load.statuses
    assert load.dropped == 0, f"{load.dropped} requests without an answer"
    refusals = load.seconds(503)
    first, last = _ends(memory)
    row = {
        "": "503",
        "count": len(refusals),
        "p50 ms": percentile(refusals, 50) * 1000,
        "p99 ms": percentile(refusals, 99) * 1000,
        "longest ms": max(refusals) * 1000,
        "first MiB": first,
        "last MiB": last,
        "peak MiB": memory.peak_mib,
    }
    show(f"{model}, {ARRIVALS_PER_S} requests/s, {FULL_AT_PAGES} pages may wait", [row])
    show("its probes", _rows(probing))
    print(f"{load.statuses}; the load generator took {load.own_cores:.2f} of a core")
    finish(
        __file__,
        f"overload_{model}",
        {
            "refusal_s": [round(seconds, 4) for seconds in refusals],
            "memory_bytes": vars(memory),
            "probes": vars(probing),
            "load": load.summary(),
        },
        [
            at_most(f"{model}: p99 of refusals, s", percentile(refusals, 99), MOST_REFUSAL_S),
            at_most(f"{model}: memory, last / first third", last / first, MOST_GROWTH),
            *_probe_bars(f"{model}, full", probing),
        ],
    )


def _ends(memory: MemoryCurve) -> tuple[float, float]:
    """Median of the first and of the last third, MiB."""
    third = max(1, len(memory.sizes) // 3)
    first, last = memory.sizes[:third], memory.sizes[-third:]
    return statistics.median(first) / MIB, statistics.median(last) / MIB


def _rows(probing: Probing) -> list[dict[str, object]]:
    return [
        {
            "": route,
            "asked": len(seconds),
            "p50 ms": percentile(seconds, 50) * 1000,
            "p99 ms": percentile(seconds, 99) * 1000,
            "longest ms": max(seconds) * 1000,
            "statuses": dict(Counter(probing.statuses[route])),
        }
        for route, seconds in probing.seconds.items()
    ]


def _probe_bars(what: str, probing: Probing) -> list[Bar]:
    not_live = sum(status != 200 for status in probing.statuses["/livez"])
    return [
        *(
            at_most(f"{what}: p99 of {route}, s", percentile(seconds, 99), MOST_PROBE_S)
            for route, seconds in probing.seconds.items()
        ),
        at_most(f"{what}: answers of /livez other than 200", not_live, 0),
    ]
