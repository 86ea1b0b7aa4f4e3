"""A start of the server, as probes and the operator see it. Real processes, scripted engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from ocr_server import OcrServer, picture, refusal, running_server, start_server
from processes import kept_waiting

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "contract" / "startup.v1.schema.json").read_text())
)

SLOW_LOAD = {
    "phases": [
        {"name": "import", "seconds": 1},
        {"name": "load_model", "seconds": 3},
        {"name": "warmup", "seconds": 0.5},
    ]
}

AS_PID_1 = ("unshare", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")


def document(server: OcrServer) -> tuple[int, dict[str, Any]]:
    answer = server.get("/startupz")
    SCHEMA.validate(answer.json())
    return answer.status_code, answer.json()


def test_the_first_answer_comes_within_three_seconds_while_the_model_loads(tmp_path: Path) -> None:
    began = time.monotonic()
    with running_server(tmp_path, SLOW_LOAD, ready=False) as server:
        took = time.monotonic() - began - kept_waiting(server.pid)
        status, body = document(server)
    assert status == 503
    assert body["state"] in ("starting", "loading")
    assert body["phases"][0]["name"] == "process"
    assert took <= 3.0


def test_the_document_follows_the_load_and_adds_up(tmp_path: Path) -> None:
    with running_server(tmp_path, SLOW_LOAD, ready=False) as server:
        states = []
        while (seen := document(server))[0] == 503:
            states.append(seen[1]["state"])
            time.sleep(0.02)
        ended = time.monotonic()
        body = seen[1]
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started_at(server.pid)
    assert set(states) <= {"starting", "loading", "warming"}
    assert "loading" in states and "warming" in states
    assert body["state"] == "ready"
    phases = {phase["name"]: phase for phase in body["phases"]}
    assert list(phases) == ["process", "import", "load_model", "warmup"]
    assert {phase["state"] for phase in phases.values()} == {"done"}
    assert body["init_seconds"] == pytest.approx(
        sum(phase["seconds"] for phase in phases.values()), abs=0.01
    )
    # The phases do not overlap, so together they are the time the start really took.
    assert body["init_seconds"] == pytest.approx(age, abs=0.5)
    assert body["attempts"] == 1
    assert time.monotonic() - ended < 5


def test_no_health_route_is_slow_while_the_engine_burns_a_core(tmp_path: Path) -> None:
    script = {"phases": [{"name": "load_model", "spin": True}]}
    routes = ("/livez", "/readyz", "/startupz", "/health", "/health/vllm", "/metrics")
    took = []
    with running_server(tmp_path, script, ready=False) as server:
        server.wait_for(lambda: document(server)[1]["state"] == "loading")
        for _ in range(20):
            for route in routes:
                waited, began = both_kept_waiting(server), time.monotonic()
                server.get(route)
                seconds = time.monotonic() - began
                took.append((seconds - (both_kept_waiting(server) - waited), route))
    assert max(took)[0] <= 0.25, max(took)


def test_a_failed_load_says_why_and_is_retried_by_the_next_request(tmp_path: Path) -> None:
    failing = {"name": "load_model", "fail": "No weights here.", "fail_times": 1}
    with running_server(tmp_path, {"phases": [failing]}, ready=False) as server:
        server.wait_for(lambda: document(server)[1]["state"] == "failed")
        status, body = document(server)
        assert status == 200  # the outcome of the start is known
        assert body["error"] == "load_model: No weights here."
        assert body["init_seconds"] is None
        assert server.get("/readyz").status_code == 503
        assert server.get("/livez").status_code == 200
        assert server.get("/health").json()["status"] == "failed"
        refused = server.read(picture())
        assert refusal(refused) == (503, "not_ready")
        assert int(refused.headers["Retry-After"]) >= 1
        while server.get("/readyz").status_code != 200:
            assert document(server)[0] == 200
            time.sleep(0.05)
        status, body = document(server)
        assert (status, body["state"], body["attempts"]) == (200, "ready", 2)
        assert body["init_seconds"] < 30
        assert server.read(picture()).status_code == 200


def test_a_request_while_loading_is_told_when_to_come_back(tmp_path: Path) -> None:
    with running_server(tmp_path, SLOW_LOAD, ready=False) as server:
        refused = server.read(picture())
    assert refusal(refused) == (503, "not_ready")
    assert 1 <= int(refused.headers["Retry-After"]) <= 300


def test_sigterm_before_ready_ends_the_process_at_once(tmp_path: Path) -> None:
    with running_server(
        tmp_path, {"phases": [{"name": "load_model", "hang": True}]}, ready=False
    ) as server:
        engine = server.child("engine")
        assert_ends_at_once(server)
        assert engine is not None
        server.wait_for(lambda: not running(engine), 5)
        assert server.left_behind == []


def test_a_blocked_http_process_answers_nothing_and_still_obeys_sigterm(tmp_path: Path) -> None:
    script = {
        "phases": [{"name": "load_model", "freeze": True}],
        "http": {"block_after_seconds": 3},
    }
    with running_server(tmp_path, script, ready=False) as server:
        time.sleep(3.2)
        with pytest.raises(httpx.ReadTimeout):
            server.get("/startupz", timeout=0.5)
        assert_ends_at_once(server)


def assert_ends_at_once(server: OcrServer) -> None:
    began = time.monotonic()
    server.terminate()
    assert server.exit_code() == 143
    assert time.monotonic() - began < 3


def test_children_die_with_a_killed_server_and_its_files_are_swept_by_the_next(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path) as server:
        children = [server.child("engine"), server.child("decode")]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.wait_for(lambda: not any(running(child) for child in children if child), 5)
        assert len(list((tmp_path / "tmp").iterdir())) == 1
    with running_server(tmp_path, ready=False):
        assert len(list((tmp_path / "tmp").iterdir())) == 1


def test_as_pid_1_it_obeys_sigterm_while_it_imports_its_libraries(tmp_path: Path) -> None:
    slow = tmp_path / "libraries"
    slow.mkdir()
    (slow / "typer.py").write_text(
        "import pathlib, time; pathlib.Path('importing').touch(); time.sleep(60)"
    )
    server = start_server(tmp_path, prefix=AS_PID_1, pythonpath=slow)
    try:
        server.wait_for((tmp_path / "importing").exists)
        os.kill(first_process(server), signal.SIGTERM)
        assert server.process.wait(10) == 143
    finally:
        server.http.close()
        server.process.kill()
        server.process.wait()


def test_as_pid_1_it_obeys_sigterm_and_ends_the_zombies_of_others(tmp_path: Path) -> None:
    with running_server(tmp_path, prefix=AS_PID_1) as server:
        first = first_process(server)
        orphan = "import os, time; os.fork() or (os.setsid(), time.sleep(0.1), os._exit(0))"
        enter = ["nsenter", "-t", str(first), "-U", "-p", "-m", "--preserve-credentials"]
        subprocess.run([*enter, sys.executable, "-c", orphan], check=True)
        server.wait_for(lambda: zombies(first), 3)
        server.wait_for(lambda: not zombies(first), 8)
        assert server.get("/livez").status_code == 200
        os.kill(first, signal.SIGTERM)
        assert server.exit_code() == 0


def first_process(server: OcrServer) -> int:
    """PID 1 of the server's own namespace, by its number here."""
    return int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text())


def zombies(parent: int) -> list[str]:
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [child for child in children if not running(int(child))]


def test_wrong_settings_are_refused_with_a_sentence(tmp_path: Path) -> None:
    server = start_server(tmp_path, ocr_max_pixels="many", ocr_s3_secret_key="s3cr3t")
    assert server.exit_code() == 2
    assert "OCR_MAX_PIXELS: " in server.log
    assert "s3cr3t" not in server.log


@pytest.mark.parametrize("prefixes", ["invoices, ../secret", "/invoices", "jobs-active", "a//b"])
def test_no_prefix_is_allowed_that_leads_elsewhere(tmp_path: Path, prefixes: str) -> None:
    server = start_server(tmp_path, ocr_s3_allowed_prefixes=prefixes)
    assert server.exit_code() == 2
    assert "OCR_S3_ALLOWED_PREFIXES: " in server.log


def test_the_http_process_loads_neither_engines_nor_decoders(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert server.read(picture()).status_code == 200
        maps = Path(f"/proc/{server.pid}/maps").read_text()
    for library in ("numpy", "PIL/", "pypdfium2", "onnxruntime", "tesserocr"):
        assert library not in maps


def test_importing_the_server_imports_no_engine_no_decoder_and_no_boto3() -> None:
    code = "import ocr_inference.server, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"numpy", "PIL", "pypdfium2", "boto3", "botocore", "rapidocr", "tesserocr", "paddle"}
    assert heavy.isdisjoint(modules)


def started_at(pid: int) -> float:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / 100


def both_kept_waiting(server: OcrServer) -> float:
    """The server and who asks it here."""
    return kept_waiting(server.pid) + kept_waiting("thread-self")


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_start_is_told_in_lines_that_a_person_can_follow(tmp_path: Path) -> None:
    no_keys = tmp_path / "keys"
    no_keys.mkdir()
    settings = {"ocr_auth_mode": "Token", "ocr_keys_dir": no_keys}
    with running_server(tmp_path, ready=False, **settings) as server:
        server.wait_for(lambda: "engine ready" in server.log)
        lines = {line["message"]: line for line in server.log_lines}
    listening = lines[f"listening on {server.url}"]
    assert (listening["model"], listening["auth"]) == ("scripted", "Token")
    assert lines["engine ready"]["pid"] == lines["phase"]["pid"]
    assert any(line["level"] == "warning" and "401" in line["message"] for line in lines.values())


def test_a_model_that_is_unknown_is_one_sentence_for_each_try(tmp_path: Path) -> None:
    with running_server(tmp_path, ocr_model="tesserakt", ready=False) as server:
        server.wait_for(lambda: server.log.count("load failed") >= 2)
        assert "Traceback" not in server.log and '"exception"' not in server.log
    sentence = "load failed: Unknown model 'tesserakt'; known are "
    failed = [line for line in server.log_lines if line["message"].startswith("load failed")]
    assert all(line["message"].startswith(sentence) for line in failed)
