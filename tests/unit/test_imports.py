"""Who may import what: the pure parts stay pure, and the two packages never meet."""

from __future__ import annotations

import ast
import gc
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocr_operator.api.v1alpha1 import OcrServiceSpec
from ocr_operator.core.render import INPUTS, NOT_INPUTS

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "operator" / "src" / "ocr_operator"
INFERENCE = ROOT / "inference" / "src" / "ocr_inference"

IMPURE = {
    "aiohttp",
    "asyncio",
    "http",
    "kopf",
    "kubernetes",
    "logging",
    "os",
    "pathlib",
    "random",
    "requests",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "urllib",
    "uuid",
}
IMPURE_CALLS = {"now", "today", "utcnow", "open", "print"}
"""A clock or a file can be had without importing more than what is allowed."""

PURE = sorted([*(OPERATOR / "core").rglob("*.py"), *(OPERATOR / "startup").rglob("*.py")])


def parsed(path: Path) -> ast.Module:
    # A collection in the midst of it may run code that makes a tree too, and some versions of
    # CPython then fail: "AST constructor recursion depth mismatch" (gh-106905).
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(path.read_text("utf-8"))
    finally:
        if collects:
            gc.enable()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield node.module or ""


def called(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            target = node.func
            name = target.attr if isinstance(target, ast.Attribute) else ""
            found.add(target.id if isinstance(target, ast.Name) else name)
    return found


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(OPERATOR)))
def test_the_pure_parts_import_nothing_that_waits_or_knows_the_world(path: Path) -> None:
    found = set(imports(path))
    assert not {name.split(".")[0] for name in found} & IMPURE
    assert not {name for name in found if name.startswith("ocr_operator.runtime")}
    assert not called(path) & IMPURE_CALLS


@pytest.mark.parametrize("path", sorted((OPERATOR / "startup").rglob("*.py")), ids=lambda p: p.name)
def test_startup_knows_nothing_of_core(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("ocr_operator.core")}


@pytest.mark.parametrize("path", sorted((OPERATOR / "core" / "builders").rglob("*.py")))
def test_builders_know_nothing_of_what_is_observed(path: Path) -> None:
    forbidden = {"ocr_operator.core.observed", "ocr_operator.core.plan"}
    assert not set(imports(path)) & forbidden


def test_the_two_packages_know_each_other_only_through_the_contract() -> None:
    for path in OPERATOR.rglob("*.py"):
        assert not {name for name in imports(path) if name.startswith("ocr_inference")}, path
    for path in INFERENCE.rglob("*.py"):
        assert not {name for name in imports(path) if name.startswith("ocr_operator")}, path


ROW = re.compile(r"^\| `inference/…/(\w+)` \|.*\| ([\w, ]*)\|$", re.MULTILINE)
ROOMS = {
    room: {name.strip() for name in names.split(",") if name.strip()}
    for room, names in ROW.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))
}
TOGETHER = {"__main__", "app", "cli", "parts", "server", "services"}
"""The files that put the rooms together; those beside them are for all."""


def own_imports(path: Path) -> set[str]:
    """The folders and files of the server's package that are imported from it."""
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.module == "ocr_inference":
            found.update(alias.name for alias in node.names)
    return found | {name.split(".")[1] for name in imports(path) if "ocr_inference." in name}


def test_the_documentation_has_every_room_of_the_server() -> None:
    assert set(ROOMS) == {path.parent.name for path in INFERENCE.glob("*/__init__.py")}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_of_the_server_imports_what_the_documentation_says(room: str) -> None:
    found = set().union(*(own_imports(path) for path in (INFERENCE / room).rglob("*.py")))
    assert found & (set(ROOMS) | TOGETHER) - {room} == ROOMS[room]


def test_what_is_for_all_rooms_of_the_server_imports_the_page_model_at_most() -> None:
    for path in INFERENCE.glob("*.py"):
        if path.stem not in TOGETHER:
            assert own_imports(path) & (set(ROOMS) | TOGETHER) <= {"pipeline"}, path


@pytest.mark.parametrize("name", ["operator/__init__.py", "operator/operator.py"])
def test_nothing_shadows_the_standard_librarys_operator(name: str) -> None:
    assert not (ROOT / name).exists()


def test_tests_are_no_packages() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not (ROOT / "tests" / "operator").exists()


def test_every_field_of_the_spec_is_an_input_of_the_template_or_is_not() -> None:
    fields = {field.alias for field in OcrServiceSpec.model_fields.values()}
    assert fields == INPUTS | NOT_INPUTS
    assert not INPUTS & NOT_INPUTS
