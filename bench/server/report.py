"""What a bench leaves: tables on the screen, raw numbers as JSON beside it, and its bars."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SHORT = bool(os.environ.get("BENCH_SHORT"))
"""Only shows that the bench runs: few samples, bars printed and not judged, nothing kept."""

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("ocr-inference", "rapidocr", "onnxruntime", "tesserocr", "uvicorn", "httpx")

_console = Console(width=140, highlight=False)


def sized(full: int, short: int) -> int:
    """How many of something, by the kind of run."""
    return short if SHORT else full


@dataclass(frozen=True, slots=True)
class Bar:
    """A number that must be at most, or at least, another one."""

    what: str
    measured: float
    limit: float
    least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.least else self.measured <= self.limit

    def __str__(self) -> str:
        sign = ("<" if self.least else ">") if not self.met else (">=" if self.least else "<=")
        return f"{self.what}: {self.measured:.4g} {sign} {self.limit:.4g}"


def at_most(what: str, measured: float, limit: float) -> Bar:
    return Bar(what, measured, limit)


def at_least(what: str, measured: float, limit: float) -> Bar:
    return Bar(what, measured, limit, least=True)


def show(title: str, rows: Sequence[Mapping[str, object]]) -> None:
    table = Table(title=title)
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    _console.print(table)


def finish(
    bench: str, name: str, measured: Mapping[str, Any], bars: Iterable[Bar], **versions: str
) -> None:
    """Print the bars, keep the numbers in `result_<name>.json` beside the bench, judge the bars."""
    bars = list(bars)
    for bar in bars:
        _console.print(("   " if bar.met else "MISSED ") + str(bar), markup=False)
    result = {
        "command": f".venv/bin/pytest -s {Path(bench).relative_to(ROOT)}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {**_versions(), **versions},
        "bars": [{"what": str(bar), "met": bar.met} for bar in bars],
        **measured,
    }
    folder = ROOT / "build" / "bench" if SHORT else Path(bench).parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"result_{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    missed = [str(bar) for bar in bars if not bar.met]
    assert SHORT or not missed, f"missed: {'; '.join(missed)}"


def machine() -> dict[str, object]:
    cpu = Path("/proc/cpuinfo").read_text()
    models = [line.split(":", 1)[1].strip() for line in cpu.splitlines() if "model name" in line]
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "load_average": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in LIBRARIES
    }


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
