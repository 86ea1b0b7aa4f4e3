"""A long document's answer is put together while the probes are asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from ocr_server import pdf, running_server
from processes import kept_waiting

PAGES, LINES = 300, 60

# A process of its own: receiving the answer must not slow down the probes that are measured here.
CLIENT = """
import sys, httpx
url, document, answer = sys.argv[1:]
with open(document, "rb") as file:
    got = httpx.post(url, files={"file": file}, data={"dpi": "72"}, timeout=120, trust_env=False)
got.raise_for_status()
open(answer, "wb").write(got.content)
"""


def test_probes_are_answered_while_a_long_answer_is_made(tmp_path: Path) -> None:
    text = "\n".join(f"line {number} of a page in a long document" for number in range(LINES))
    with running_server(
        tmp_path, {"text": text}, ocr_max_pages_sync=PAGES, ocr_sync_timeout_s=100
    ) as server:
        document, answer = tmp_path / "long.pdf", tmp_path / "answer.json"
        document.write_bytes(pdf(PAGES))
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, f"{server.url}/ocr", document, answer]
        )
        latencies = []
        while client.poll() is None:
            waited, began = kept_waiting(server.pid), time.monotonic()
            assert server.get("/livez").status_code == 200
            latencies.append(time.monotonic() - began - (kept_waiting(server.pid) - waited))
            time.sleep(0.01)
        assert client.returncode == 0
        stored = next((tmp_path / "output").rglob("*.json")).read_bytes()
    body = json.loads(answer.read_bytes())
    assert len(body["results"]) == PAGES * LINES
    assert body["pages"][-1]["lines"][-1]["text"] == text.splitlines()[-1]
    assert json.loads(stored)["result"]["results"] == body["results"]
    print(f"{len(answer.read_bytes()) >> 20} MiB, slowest probe {max(latencies):.3f} s")
    assert max(latencies) < 0.25
