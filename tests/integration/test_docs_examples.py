"""The examples of `docs/http-api.md`, run as they stand there against a real server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ocr_server import OcrServer, running_server
from pages import LETTER, REPORT
from s3_server import ACCESS, SECRET, s3_server

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text("utf-8")

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END = "\x1e"
"""Printed behind the answer of each example."""


def examples() -> list[tuple[str, str, str]]:
    """Command, kind of its answer, and the answer; the kind is empty where none is shown."""
    blocks = [(match[1], match[2]) for match in BLOCK.finditer(PAGE)]
    found = []
    for (kind, text), (next_kind, answer) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        if kind == "sh":
            shown = next_kind in ("json", "text", "markdown")
            found.append((text, next_kind if shown else "", answer if shown else ""))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs")


@pytest.fixture(scope="module")
def answers(home: Path) -> Iterator[list[str]]:
    """What the commands print, in one shell: later ones go on with what earlier ones made."""
    keys = home / "keys"
    keys.mkdir()
    (keys / "reader").write_text("a-key")
    (home / "page.png").write_bytes(LETTER.read_bytes())
    (home / "report.pdf").write_bytes(REPORT.read_bytes())
    script = {"text": "What the page says", "page_seconds": 0.05}
    with (
        s3_server(home / "s3", "ocr") as store,
        running_server(
            home / "server",
            script,
            ocr_auth_mode="Token",
            ocr_keys_dir=keys,
            ocr_s3_endpoint=store.endpoint,
            ocr_s3_bucket="ocr",
            ocr_s3_region="us-east-1",
            ocr_s3_access_key=ACCESS,
            ocr_s3_secret_key=SECRET,
            ocr_s3_allowed_prefixes="invoices",
        ) as server,
    ):
        yield _run(server, home)


def _run(server: OcrServer, home: Path) -> list[str]:
    commands = "\n".join(f"{command}\nprintf '{END}'" for command, _, _ in examples())
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=home,
        env={"PATH": "/usr/bin:/bin", "SERVER": server.url, "KEY": "a-key", "no_proxy": "*"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout.decode()[-2000:] + done.stderr.decode()
    return done.stdout.decode().split(END)[:-1]


@pytest.mark.parametrize(
    "number", range(len(examples())), ids=lambda n: examples()[n][0].partition("\n")[0][:60]
)
def test_an_example_answers_as_the_page_says(answers: list[str], number: int) -> None:
    command, kind, shown = examples()[number]
    answer = answers[number]
    if kind == "json":
        missing = list(_missing(json.loads(shown), json.loads(answer), ""))
        assert missing == [], answer[:2000]
        refused, expected = (bool(json.loads(body).get("error")) for body in (answer, shown))
        assert refused == expected, answer[:2000]
    elif "$JOB" in command or "metrics" in command:
        for line in shown.strip().splitlines():
            assert line in answer
    elif kind:
        assert "What the page says" in answer
    else:
        assert answer == ""


@pytest.mark.parametrize(
    ("name", "magic"), [("searchable.pdf", b"%PDF-"), ("page-1.jpeg", b"\xff\xd8")]
)
def test_an_example_that_makes_a_file_makes_it(
    answers: list[str], home: Path, name: str, magic: bytes
) -> None:
    body = (home / name).read_bytes()
    assert body.startswith(magic), body[:500]


def test_the_answer_that_is_shown_is_that_of_the_example_page(tmp_path: Path) -> None:
    _, _, shown = examples()[0]
    with running_server(tmp_path, ocr_model="pp-ocr") as server:
        answer = server.read(LETTER.read_bytes()).json()
    assert list(_differences(json.loads(shown), answer, "")) == []


def _differences(shown: Any, answer: Any, where: str) -> Iterator[str]:
    """Where the page's answer is another; times are as they happen, and `…` leaves out the rest."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            if not name.endswith("_ms"):
                yield from _differences(value, answer[name], f"{where}.{name}")
    elif isinstance(shown, list):
        for number, value in enumerate(shown):
            yield from _differences(value, answer[number], f"{where}[{number}]")
    elif isinstance(shown, str) and shown.endswith("…"):
        if where != ".id" and not answer.startswith(shown.removesuffix("…")):
            yield where
    elif isinstance(shown, float):
        if answer != pytest.approx(shown, abs=2 if shown > 1 else 0.02):
            yield where
    elif shown != answer:
        yield where


def _missing(shown: Any, answer: Any, where: str) -> Iterator[str]:
    """The keys of the page's answer that the server's does not have."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            if not isinstance(answer, dict) or name not in answer:
                yield f"{where}.{name}"
            else:
                yield from _missing(value, answer[name], f"{where}.{name}")
    elif isinstance(shown, list) and shown:
        if not isinstance(answer, list) or not answer:
            yield f"{where}[0]"
        else:
            yield from _missing(shown[0], answer[0], f"{where}[0]")
