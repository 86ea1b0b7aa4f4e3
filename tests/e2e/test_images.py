"""The images themselves: what is in them, what is not, and that they run as a pod would run them.

Needs root, buildah and runc, and no cluster.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cer import cer
from containers import Mounted, mounted
from paddle_env import tiny_models
from world import ROOT

NAMES = ("operator", "cpu", "gpu")
PAGES = ROOT / "examples" / "pages"

COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "cpp", "as", "ld", "make", "go", "rustc", "nvcc")
BUILD_TOOLS = ("pip", "pip3", "uv", "hatchling")
LEFT_OVERS = ("root/.cache", "opt/build", "locks", "wheels", "src", "run/secrets", "etc/pip.conf")
UNUSED = re.compile("/kubernetes/(aio/)?client/(api|models)/")
MACHINE_SETTINGS = ("INDEX", "PROXY", "FIND_LINKS", "CERT", "CA_BUNDLE", "TRUSTED_HOST", "TOKEN")


@pytest.fixture(scope="module")
def archives() -> dict[str, Path]:
    done = subprocess.run(
        ["python3", "-m", "testbed.images", "build", *NAMES], cwd=ROOT,
        stdout=subprocess.PIPE, stderr=sys.stderr, text=True, timeout=2400, check=True,
    )  # fmt: skip
    lines = (line.partition("=") for line in done.stdout.splitlines())
    return {name: Path(rest.split()[1]) for name, _, rest in lines}


@pytest.fixture(scope="module", params=NAMES)
def image(
    request: pytest.FixtureRequest,
    archives: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Mounted]]:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    # The container's user has to reach its volumes, and pytest's folders are its owner's.
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    with mounted(archives[name], folder) as found:
        yield name, found


def test_it_runs_as_a_number_that_is_not_root(image: tuple[str, Mounted]) -> None:
    assert image[1].config["User"] == "10001:10001"


def test_it_says_what_it_is(image: tuple[str, Mounted]) -> None:
    name, found = image
    labels = found.config["Labels"]
    title = "ocr-operator" if name == "operator" else "ocr-inference"
    assert labels["org.opencontainers.image.title"] == title
    assert labels["org.opencontainers.image.version"]
    assert labels["org.opencontainers.image.description"]
    assert (found.image["os"], found.image["architecture"]) == ("linux", "amd64")


def test_its_entry_point_is_the_program_itself(image: tuple[str, Mounted]) -> None:
    name, found = image
    command = ["ocr-operator"] if name == "operator" else ["ocr-inference", "serve"]
    assert [*found.config["Entrypoint"], *(found.config.get("Cmd") or [])] == command


def test_nothing_that_only_the_build_needs_is_left(image: tuple[str, Mounted]) -> None:
    root = image[1].root
    folders = [root / path for path in ("usr/bin", "usr/local/bin", "opt/venv/bin")]
    found = [p.name for folder in folders for tool in COMPILERS for p in folder.glob(tool)]
    found += [tool for tool in BUILD_TOOLS if (root / "opt/venv/bin" / tool).exists()]
    found += [path for path in LEFT_OVERS if any((root / path).glob("*"))]
    found += [path.name for path in (root / "var/cache/apt").rglob("*.deb")]
    found += [path.name for path in (root / "var/lib/apt/lists").glob("*")]
    assert not found


def test_every_module_is_compiled_and_never_compared_with_its_source(
    image: tuple[str, Mounted],
) -> None:
    (site_packages,) = image[1].root.glob("opt/venv/lib/python3*/site-packages")
    # Two copies of a thousand classes that the operator does not use: left as they are.
    sources = [path for path in site_packages.rglob("*.py") if not UNUSED.search(str(path))]
    compiled = [
        next(source.parent.glob(f"__pycache__/{source.stem}.cpython-*[0-9].pyc"), None)
        for source in sources
    ]
    # Templates that are no Python, in a few packages.
    assert compiled.count(None) <= len(sources) * 0.01
    flags = {path.read_bytes()[4:8] for path in compiled if path}
    assert flags == {b"\x01\x00\x00\x00"}, "PEP 552: hash-based and unchecked"


def test_nothing_of_the_building_machine_is_in_it(image: tuple[str, Mounted]) -> None:
    found = image[1]
    words = [variable.partition("=")[0] for variable in found.config["Env"]]
    assert not [word for word in words if any(part in word for part in MACHINE_SETTINGS)]
    # Values too short to tell from ordinary words are not looked for.
    values = {
        value
        for name, value in os.environ.items()
        if any(part in name.upper() for part in MACHINE_SETTINGS) and len(value) > 12
    }
    written = json.dumps(found.image)
    assert not [value for value in values if value in written]


def test_paddle_is_in_the_gpu_image_alone_and_torch_in_none(image: tuple[str, Mounted]) -> None:
    name, found = image
    (site_packages,) = found.root.glob("opt/venv/lib/python3*/site-packages")
    found = {p.name for word in ("paddle*", "torch*") for p in site_packages.glob(word)}
    assert any(word.startswith("paddle") for word in found) == (name == "gpu")
    assert not [word for word in found if word.startswith("torch")]


def test_the_program_starts_on_a_read_only_root(image: tuple[str, Mounted]) -> None:
    name, found = image
    if name == "operator":
        done = found.run()
        assert done.returncode == 2, done.stderr  # no settings, and it says which
        assert "namespace" in (done.stdout + done.stderr).lower()
    else:
        done = found.run("--help")
        assert done.returncode == 0, done.stderr
        assert "serve" in done.stdout


@pytest.mark.parametrize("image", ["cpu"], indirect=True)
@pytest.mark.parametrize(
    ("model", "page", "languages"),
    [("pp-ocr", "letter-en", "en"), ("tesseract", "article-ru", "ru")],
)
def test_the_cpu_engines_read_a_page_without_a_network(
    image: tuple[str, Mounted], model: str, page: str, languages: str
) -> None:
    done = image[1].run(
        "read", f"/pages/{page}.png", mounts={PAGES: "/pages"},
        OCR_MODEL=model, OCR_LANGUAGES=languages,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    truth = (PAGES / f"{page}.txt").read_text(encoding="utf-8")
    assert cer(truth, done.stdout) <= 0.01


@pytest.mark.parametrize("image", ["gpu"], indirect=True)
def test_the_tiny_model_reads_a_page_in_the_gpu_image(image: tuple[str, Mounted]) -> None:
    found = image[1]
    cache = found.folder / "weights"
    shutil.copytree(tiny_models(), cache / "paddlex" / "official_models")
    done = found.run(
        "read", "/pages/letter-en.png", "--output", "json",
        mounts={PAGES: "/pages", cache: "/app/cache"},
        OCR_MODEL="paddleocr-vl", OCR_DEVICE="cpu", timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
