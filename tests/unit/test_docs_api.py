"""`docs/http-api.md` names every route, limit and error code, and none that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocr_inference.app import create_app
from ocr_inference.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "http-api.md").read_text("utf-8")
CONTRACT: dict[str, Any] = json.loads((ROOT / "contract" / "environment.v1.json").read_text())
SOURCES = sorted((ROOT / "inference" / "src" / "ocr_inference").rglob("*.py"))

LIMITS = re.compile(
    r"OCR_(MAX|QUEUE|RATE_LIMIT|RESULT|S3_ALLOWED|S3_PRESIGN|URL|ENGINE_WORKERS|LAME_DUCK|DRAIN)_?"
    r"|_TIMEOUT_S|_DEADLINE_S|_CONCURRENCY"
)
"""The settings that bound something."""


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    services = SimpleNamespace(settings=Settings())
    return create_app(cast("Any", services)).openapi()


def test_every_route_has_its_part_of_the_page(api: dict[str, Any]) -> None:
    routes = {
        f"{method.upper()} {path}" for path, methods in api["paths"].items() for method in methods
    }
    described = set(re.findall(r"^### `([A-Z]+ /[^`]*)`$", PAGE, re.MULTILINE))
    assert described == routes


def test_every_part_has_an_example() -> None:
    for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        name = part.splitlines()[0]
        assert "```sh" in part, name


def test_every_field_of_the_form_is_in_the_table(api: dict[str, Any]) -> None:
    form = api["paths"]["/ocr"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    part = PAGE.partition("### `POST /ocr`")[2].partition("### ")[0]
    described = set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE))
    assert described == set(form["properties"])
    outputs = form["properties"]["output"]["anyOf"][0]["enum"]
    row = next(line for line in part.splitlines() if line.startswith("| `output`"))
    assert all(f"`{output}`" in row for output in outputs)


def test_every_limit_is_in_the_table_with_its_default() -> None:
    variables = CONTRACT["variables"] | CONTRACT["server_only"]
    limits = {name: about["default"] for name, about in variables.items() if LIMITS.search(name)}
    table = PAGE.partition("## Limits")[2]
    rows = re.findall(r"^\| `(OCR_\w+)` \| (?:`([^`]*)`|empty) \| .+ \|$", table, re.MULTILINE)
    assert dict(rows) == limits


def test_every_error_code_is_in_the_table() -> None:
    source = "\n".join(path.read_text("utf-8") for path in SOURCES)
    codes = set(re.findall(r'PublicError\(\s*[45]\d\d,\s*"(\w+)"', source))
    # Two are named by their place, two come with the framework.
    codes |= {"s3_failed", "output_failed", "not_found", "method_not_allowed"}
    table = PAGE.partition("## Errors")[2].partition("## Limits")[0]
    rows = [line.split("|") for line in table.splitlines() if re.match(r"\| [45]\d\d \|", line)]
    described = {code for row in rows for code in re.findall(r"`(\w+)`", row[2])}
    assert described == codes
