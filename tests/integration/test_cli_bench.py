"""`ocr-inference bench` with engines of its own and against a server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ocr_server import free_port, running_server


def bench(*arguments: str, home: Path, code: int = 0, **environment: str) -> tuple[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    (home / "bench").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "ocr_inference", "bench", *arguments],
        env={**kept, "OCR_MODEL": "scripted", "TMPDIR": str(home / "bench"), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert list((home / "bench").iterdir()) == []
    return done.stdout, done.stderr


def results(out: str) -> list[dict[str, Any]]:
    return list(json.loads(out)["results"])


def test_engines_of_its_own_are_measured(tmp_path: Path) -> None:
    script = json.dumps({"text": "said", "phases": [], "page_seconds": 0.1})
    out, _ = bench(
        "--concurrency", "1,2", "--seconds", "1", "--json", home=tmp_path, OCR_SCRIPT=script
    )
    one, two = results(out)
    assert (one["concurrency"], two["concurrency"]) == (1, 2)
    assert one["p50_ms"] >= 100 and one["p50_ms"] <= one["p95_ms"] <= one["p99_ms"]
    assert 0 < one["pages_per_second"] <= 10
    assert one["failed"] == two["failed"] == 0
    machine = json.loads(out)["machine"]
    assert machine["cpus"] == len(os.sched_getaffinity(0))
    assert {"cpu_limit", "memory_limit_mib", "python", "scripted"} <= set(machine)


def test_a_server_is_measured_without_its_cache(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "bench").write_text("bench-key")
    with running_server(
        tmp_path, {"text": "said"}, ocr_auth_mode="Token", ocr_keys_dir=keys
    ) as server:
        arguments = ("--url", server.url, "--seconds", "1", "--concurrency", "2")
        out, _ = bench(*arguments, home=tmp_path, OCR_KEY="bench-key")
        assert "scripted 1" in out and "pages/s" in out
        assert "None" not in out
        read = server.metric('ocr_pages_total{engine="scripted",status="ok"}')
        assert read > 2
        assert server.metric("ocr_cache_hits_total") == 0
        _, err = bench(*arguments, home=tmp_path, code=2)
        assert "401" in err and "Send a valid key" in err


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    script = json.dumps({"phases": [{"name": "load_model", "fail": "No weights."}]})
    _, err = bench("--seconds", "1", home=tmp_path, code=2, OCR_SCRIPT=script)
    assert "No weights." in err
    script = json.dumps({"text": "said", "phases": []})
    _, err = bench("nosuch.png", home=tmp_path, code=2, OCR_SCRIPT=script)
    assert err == "ocr-inference: nosuch.png: There is no such file.\n"
    zero = tmp_path / "zero.pdf"
    zero.touch()
    _, err = bench(str(zero), home=tmp_path, code=2, OCR_SCRIPT=script)
    assert err.endswith(f"ocr-inference: {zero}: The file is empty.\n")
    url = f"http://127.0.0.1:{free_port()}"
    _, err = bench("--url", url, home=tmp_path, code=2)
    assert err.endswith(f"ocr-inference: {url}: the connection was refused.\n")
