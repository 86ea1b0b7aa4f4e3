"""How well the blocks of many pages fill the VLM server: a stub that takes 200 ms for each."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from bench.server.apart import vlm_stub_apart
from bench.server.load import Load, closed_loop, form, over_and_over
from bench.server.machine import settle, two_cores
from bench.server.report import at_least, finish, show, sized
from ocr_server import pdf, picture, running_server

pytestmark = pytest.mark.timeout(1800)

LATENCY_S = 0.2
BLOCKS = 8
LEAST_SHARE = 0.9
CAPS = (4, 8, 32)
"""The last is the default of OCR_VLM_CONCURRENCY."""


@pytest.mark.parametrize("cap", CAPS)
def test_blocks_fill_the_cap(cap: int, tmp_path: Path) -> None:
    """One long document, and single pages of many clients: both as fast as the cap allows."""
    rounds = sized(50, 5)
    pages = cap * rounds // BLOCKS
    clients = max(4, 4 * cap // BLOCKS)
    loads: dict[str, tuple[int, Load]] = {}
    with (
        two_cores(),
        vlm_stub_apart(LATENCY_S) as url,
        running_server(
            tmp_path,
            {"blocks": BLOCKS},
            ocr_backend="vllm",
            ocr_vlm_url=url,
            ocr_vlm_model="stub",
            ocr_vlm_concurrency=cap,
            ocr_max_pages_sync=2000,
            ocr_queue_max_pages=2000,
        ) as server,
    ):
        settle(server.pid)
        one = form("page.png", picture())
        closed_loop(server.url, over_and_over([one], clients), clients)
        book = form("book.pdf", pdf(pages))
        loads["one document"] = pages, closed_loop(server.url, [book], 1)
        singles = over_and_over([one], pages)
        loads[f"{clients} clients"] = pages, closed_loop(server.url, singles, clients)
    rows, bars = [], []
    for name, (count, load) in loads.items():
        assert set(load.statuses) == {"200"}, load.statuses
        ideal = math.ceil(count * BLOCKS / cap) * LATENCY_S
        share = ideal / load.wall_s
        rows.append(
            {
                "": name,
                "blocks": count * BLOCKS,
                "ideal s": ideal,
                "took s": load.wall_s,
                "share of ideal": share,
                "load generator, cores": load.own_cores,
            }
        )
        bars.append(at_least(f"cap {cap}, {name}: share of the ideal", share, LEAST_SHARE))
    show(f"{BLOCKS} blocks a page, {LATENCY_S:g} s a block, at most {cap} at a time", rows)
    finish(__file__, f"vlm_cap_{cap}", {"rows": rows}, bars)
