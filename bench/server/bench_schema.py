"""The OpenAPI document against the live server, with ten thousand requests made of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from bench.server.report import at_least, finish, sized
from ocr_server import running_server
from openapi_fuzz import fuzz, never_successful

pytestmark = pytest.mark.timeout(7200)

REQUESTS = sized(10_000, 500)
EXAMPLES = sized(400, 10)
SEEDS = 10


def test_ten_thousand_requests_and_no_undocumented_answer(tmp_path: Path) -> None:
    asked, seeds, began = 0, [], time.monotonic()
    with running_server(tmp_path, ocr_sync_timeout_s=20) as server:
        paths = server.get("/openapi.json").json()["paths"]
        for seed in range(1, SEEDS + 1):
            # So many examples meet an error of the fuzzer's own, which ends an operation.
            asked += fuzz(server, tmp_path, EXAMPLES, seed, timeout=7000, cut_short=True)
            seeds.append(seed)
            if asked >= REQUESTS:
                break
        assert never_successful(server, paths) == set()
        assert "unexpected error" not in server.log and "Traceback" not in server.log
    measured = {
        "paths": len(paths),
        "requests": asked,
        "seeds": seeds,
        "undocumented": 0,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(measured)
    finish(__file__, "schema", measured, [at_least("requests", asked, REQUESTS)])
