"""A PDF of a hundred scans: does rendering overlap reading, and does memory stay."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bench.server.bare import DPI, LIMITS, RawImage, bare_pool
from bench.server.load import Load, closed_loop, form
from bench.server.machine import settle, two_cores
from bench.server.prints import as_pdf, scans
from bench.server.report import at_most, finish, show, sized
from ocr_server import running_server
from pages import LETTER, tessdata
from processes import MemoryCurve, memory_watched

from ocr_inference.pipeline.decode import render

pytestmark = pytest.mark.timeout(3600)

MODEL = "tesseract"
"""The faster engine: what is not reading shows more."""

COUNTS = (sized(10, 2), sized(50, 3), sized(100, 4))
MOST_RATIO = 1.1
MOST_GROWTH = 1.1


def test_a_hundred_pages(tmp_path: Path) -> None:
    tessdata()
    pages = scans(COUNTS[-1])
    files = {count: tmp_path / f"{count}.pdf" for count in COUNTS}
    for count, file in files.items():
        as_pdf(pages[:count], file)
    loads: dict[int, Load] = {}
    curves: dict[int, MemoryCurve] = {}
    with two_cores() as cores:
        rendered, render_cpu_s = _render(files[COUNTS[-1]], tmp_path)
        with bare_pool(MODEL, cores, 1, LETTER) as pool:
            # Before and after, so that a machine that slows down slows both sides.
            alone = [pool.seconds_for_raw(rendered)]
            for count, file in files.items():
                # A server for each: one keeps what the document before made it take.
                loads[count], curves[count] = _over_http(tmp_path / f"server-{count}", file)
            alone.append(pool.seconds_for_raw(rendered))
    pool_s = sum(alone) / len(alone)
    allowed_s = pool_s + render_cpu_s / cores
    took_s = loads[COUNTS[-1]].wall_s
    rows = [
        {"": f"pool of {cores} processes, rendered pages", "s": pool_s},
        {"": f"CPU time of rendering / {cores}", "s": render_cpu_s / cores},
        {"": "one request over HTTP", "s": took_s},
    ]
    show(f"{MODEL}, a PDF of {COUNTS[-1]} scans", rows)
    peaks = {count: curve.peak_mib for count, curve in curves.items()}
    show(
        "memory of all processes",
        [{"pages": count, "peak MiB": peak} for count, peak in peaks.items()],
    )
    finish(
        __file__,
        "long_pdf",
        {
            "pool_s": alone,
            "render_cpu_s": render_cpu_s,
            "http_s": {count: load.wall_s for count, load in loads.items()},
            "memory_bytes": {count: vars(curve) for count, curve in curves.items()},
        },
        [
            at_most("HTTP / (pool + render CPU / cores)", took_s / allowed_s, MOST_RATIO),
            *(
                at_most(
                    f"peak of {count} pages / of {COUNTS[0]}",
                    peaks[count] / peaks[COUNTS[0]],
                    MOST_GROWTH,
                )
                for count in COUNTS[1:]
            ),
        ],
    )


def _render(file: Path, folder: Path) -> tuple[list[RawImage], float]:
    """Every page as the engines take it, and the CPU time of rendering."""
    found, cpu_s = [], 0.0
    for number in range(1, COUNTS[-1] + 1):
        began = time.process_time()
        image, dpi, *_ = render(file, number, DPI, LIMITS)
        cpu_s += time.process_time() - began
        raw = folder / f"{number}.bgr"
        image.tofile(raw)
        found.append((str(raw), *image.shape[:2], dpi))
    return found, cpu_s


def _over_http(home: Path, file: Path) -> tuple[Load, MemoryCurve]:
    post = form(file.name, file.read_bytes())
    with running_server(home, ocr_model=MODEL, ocr_sync_timeout_s=3000) as server:
        settle(server.pid)
        warm = form("page.png", LETTER.read_bytes())
        closed_loop(server.url, [warm] * 4, 4)
        with memory_watched(server.pid) as curve:
            load = closed_loop(server.url, [post], 1)
    assert load.statuses == {"200": 1}, [sample.body[:500] for sample in load.samples]
    return load, curve
