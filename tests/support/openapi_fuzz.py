"""Requests that schemathesis makes of a server's OpenAPI document."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from ocr_server import OcrServer, pdf
from prometheus_client.parser import text_string_to_metric_families

from ocr_inference.api.envelope import QUIET_PATHS

CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance"

KEPT_JOBS = 8
"""The fuzzer deletes some: it remembers the jobs that it has seen."""

DEADLINES = 'ocr_rejected_total{reason="deadline_exceeded"}'


class Undocumented(AssertionError):
    """An answer that the document does not know; the text is schemathesis' own report."""


class Failed(AssertionError):
    """Answers that say that the server failed, documented or not: how many by route and code."""


def fuzz(
    server: OcrServer,
    home: Path,
    examples: int,
    seed: int,
    timeout: float,
    *,
    cut_short: bool = False,
) -> int:
    """Send the document's own examples, up to so many `examples` more a route, and what covers its
    parameters; returns how many requests were answered. One worker: its exceptions come from a
    recursion as deep as Python's own parser allows, and threads have less.

    With `cut_short` an operation may end by an error of schemathesis' own.

    Raises `Undocumented`, and `Failed` for every 5xx but those of the form's `timeout_s`, which may
    be too short for anything.
    """
    config = home / "schemathesis.toml"
    config.write_text(_values({"jobs": _finished_jobs(server), "pages": [1]}))
    before, deadlines = answered(server), server.metric(DEADLINES)
    program = Path(sys.executable).with_name("schemathesis")
    options = (
        f"--checks={CHECKS} --phases=examples,coverage,fuzzing --max-examples={examples} "
        f"--seed={seed} --generation-database=none --no-shrink --continue-on-failure --no-color "
        "--workers=1 --request-timeout=30"
    )
    command = [
        *(str(program), "--config-file", str(config)),
        *("run", f"{server.url}/openapi.json", *options.split()),
    ]
    done = subprocess.run(
        command,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode and not (cut_short and _only_its_own_error(done.stdout)):
        raise Undocumented(done.stdout[-12_000:])
    new = answered(server) - before
    failures = {(route, code): count for (route, code), count in new.items() if code >= "500"}
    if failures.get(("/ocr", "504"), 0) == server.metric(DEADLINES) - deadlines:
        failures.pop(("/ocr", "504"), None)
    if failures:
        raise Failed(failures)
    return new.total()


def _only_its_own_error(report: str) -> bool:
    """schemathesis 4.32.5 ends an operation when its checker meets a form with a file in an odd
    place; what was asked until then counts."""
    errors = re.findall(r"^Runtime Error$\s+(.+)$", report, re.MULTILINE)
    cases = re.search(r"(\d+) generated, (\d+) passed, ", report)
    whole = cases is not None and cases[1] == cases[2]
    return whole and set(errors) == {"Unsupported type: 'Binary'"}


def answered(server: OcrServer) -> Counter[tuple[str, str]]:
    """How many requests of a route had an answer with this code."""
    return Counter(
        {
            (sample.labels["route"], sample.labels["code"]): round(sample.value)
            for family in text_string_to_metric_families(server.get("/metrics").text)
            for sample in family.samples
            if sample.name == "ocr_requests_total"
        }
    )


def never_successful(server: OcrServer, paths: dict[str, Any]) -> set[tuple[str, str]]:
    """The documented operations, as method and path, that no request got a 2xx of."""
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    # A quiet path has no line in the log, and no other method than GET.
    fine = {path for path, code in answered(server) if code < "300"}
    seen = {("GET", path) for path in QUIET_PATHS & fine}
    seen |= {
        (line["method"], line["route"])
        for line in server.log_lines
        if line["message"] == "request" and line["status"] < 300
    }
    return documented - seen


def _finished_jobs(server: OcrServer) -> list[str]:
    jobs = [server.submitted(pdf(1, 100 + number)) for number in range(KEPT_JOBS)]
    for job in jobs:
        server.wait_for(lambda job=job: server.get(job).json()["status"] == "succeeded")
    return [job.rpartition("/")[2] for job in jobs]


def _values(values: dict[str, list[Any]]) -> str:
    """schemathesis' configuration: every second request has one of these in its path, the others
    what is made up."""
    names = {"jobs": "path.job", "pages": "path.number"}
    lines = [f"dictionaries.{name}.values = {json.dumps(some)}" for name, some in values.items()]
    lines += [
        f'parameters."{names[name]}" = {{dictionary = "{name}", probability = 0.5}}'
        for name in values
    ]
    return "\n".join(lines) + "\n"
