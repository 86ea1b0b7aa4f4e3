"""Requests that schemathesis makes of a server's OpenAPI document."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ocr_server import OcrServer

CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance"


class Undocumented(AssertionError):
    """An answer that the document does not know; the text is schemathesis' own report."""


def fuzz(server: OcrServer, home: Path, examples: int, seed: int, timeout: float) -> int:
    """Send up to so many `examples` a route, and what covers its parameters; returns how many
    requests were answered. One worker: its exceptions come from a recursion as deep as Python's
    own parser allows, and threads have less."""
    before = requests(server)
    program = Path(sys.executable).with_name("schemathesis")
    options = (
        f"--checks={CHECKS} --phases=coverage,fuzzing --max-examples={examples} --seed={seed} "
        "--generation-database=none --no-shrink --continue-on-failure --no-color "
        "--workers=1 --request-timeout=30"
    )
    command = [str(program), "run", f"{server.url}/openapi.json", *options.split()]
    done = subprocess.run(
        command,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise Undocumented(done.stdout[-12_000:])
    return requests(server) - before


def requests(server: OcrServer) -> int:
    lines = server.get("/metrics").text.splitlines()
    counts = (line.split()[1] for line in lines if line.startswith("ocr_requests_total{"))
    return round(sum(map(float, counts)))
