"""The project's images, built once for each state of their sources and kept as archives.

`python3 -m testbed.images build [operator] [cpu] [gpu] [--base IMAGE] [--push REGISTRY]` writes to
stdout one line an image: `name=reference archive`. A reference's tag comes from the image's
content, so the pull policy IfNotPresent is always right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import posixpath
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from testbed.image_builders import Builder, Recipe, choose
from testbed.image_settings import secrets_of_this_machine
from testbed.locks import locked
from testbed.process import TestbedError
from testbed.progress import Progress
from testbed.tools import cache_folder

ROOT = Path(__file__).resolve().parent.parent

# How docker and the registries count.
MEGABYTE = 10**6
# Of each image; a cluster of another clone may be loading the one before.
ARCHIVES_KEPT = 2


@dataclass(frozen=True)
class Image:
    name: str
    repository: str
    tag_prefix: str
    dockerfile: str
    sources: tuple[str, ...]
    limit_megabytes: int | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        return self.name


LOCKS = "requirements/{}.txt"
IMAGES = {
    image.name: image
    for image in (
        Image(
            "operator", "ocr-operator", "", "Dockerfile.operator",
            ("operator/pyproject.toml", "operator/src", LOCKS.format("operator")), 180,
        ),
        Image(
            "cpu", "ocr-inference", "cpu-", "Dockerfile.inference",
            ("inference/pyproject.toml", "inference/src", LOCKS.format("inference-cpu")), 800,
        ),
        Image(
            "gpu", "ocr-inference", "gpu-", "Dockerfile.inference",
            ("inference/pyproject.toml", "inference/src", LOCKS.format("inference-gpu")),
            # A test machine has no GPU and does not reach the vendor's index. The same stage with
            # the CPU build of the same version shows that the image works.
            arguments={
                "PADDLE_PACKAGE": "paddlepaddle",
                "PADDLE_VERSION": "3.3.1",
                "PADDLE_INDEX_URL": "",
            },
        ),
    )
}  # fmt: skip
COMMON_SOURCES = (".dockerignore", LOCKS.format("uv"), LOCKS.format("build"))


@dataclass(frozen=True)
class Built:
    image_id: str
    reference: str
    archive: str
    base_bytes: int
    added_bytes: int


def build(
    names: list[str], base: str | None, registry: str | None, progress: Progress
) -> dict[str, tuple[str, str]]:
    """Name to (reference, path of the archive)."""
    folder = cache_folder() / "images"
    builder = choose(folder, progress)
    folder.mkdir(parents=True, exist_ok=True)
    built = {name: ensure(IMAGES[name], base, builder, folder, progress) for name in names}
    print_sizes(built, progress)
    too_large = [sentence for name, of in built.items() if (sentence := excess(IMAGES[name], of))]
    if too_large:
        raise TestbedError("\n".join(too_large))
    if registry is None:
        return {name: (of.reference, of.archive) for name, of in built.items()}
    return {name: (push(of, builder, registry, progress), of.archive) for name, of in built.items()}


def ensure(
    image: Image, base: str | None, builder: Builder, folder: Path, progress: Progress
) -> Built:
    with tempfile.TemporaryDirectory() as context_name:
        # A copy, so that what was hashed is what is built while somebody goes on editing.
        context = copy_sources(image, Path(context_name))
        key = hash_of(context, image, builder.base(base))
        record = folder / f"{image.name}-{key}.json"
        if found := read(record):
            return found

        def waiting() -> None:
            progress.say(f"{image.name}: waiting for another build of images to end")

        with locked(folder, waiting=waiting):
            if found := read(record):
                return found
            progress.say(f"building the image {image.name}")
            made = build_one(image, base, builder, folder, context, progress)
            record.write_text(json.dumps(asdict(made)))
            prune(folder, image.name)
            return made


def build_one(
    image: Image,
    base: str | None,
    builder: Builder,
    folder: Path,
    context: Path,
    progress: Progress,
) -> Built:
    with tempfile.TemporaryDirectory() as secrets_name:
        secrets = secrets_of_this_machine(Path(secrets_name), os.environ)
        recipe = Recipe(context, image.dockerfile, image.target, image.arguments, secrets)
        image_id = builder.build(recipe, base, folder / f"{image.name}.log")
    reference = f"localhost/{image.repository}:{image.tag_prefix}{image_id[:12]}"
    archive = folder / f"{image.name}-{image_id}.tar"
    partial = archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    progress.say(f"writing {archive.name}")
    builder.save(image_id, reference, partial)
    layers = layer_sizes(partial)
    count = builder.layers_of_base(base)
    partial.rename(archive)
    return Built(image_id, reference, str(archive), sum(layers[:count]), sum(layers[count:]))


def copy_sources(image: Image, context: Path) -> Path:
    for name in (image.dockerfile, *COMMON_SOURCES, *image.sources):
        source, target = ROOT / name, context / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source,
                target,
                ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache"),
            )
        else:
            shutil.copy(source, target)
    return context


def hash_of(context: Path, image: Image, base: str) -> str:
    digest = hashlib.sha256(repr((base, image.target, sorted(image.arguments.items()))).encode())
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(context)} ".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def read(record: Path) -> Built | None:
    """What was built before, if its archive is still there; it counts as used now."""
    try:
        built = Built(**json.loads(record.read_text()))
        os.utime(record)
        os.utime(built.archive)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return built


def layer_sizes(archive: Path) -> list[int]:
    """Uncompressed, lowest first."""
    with tarfile.open(archive) as tar:
        manifest = tar.extractfile("manifest.json")
        if manifest is None:
            raise TestbedError(f"{archive} is no image archive")
        return [size_of(tar, name) for name in json.load(manifest)[0]["Layers"]]


def size_of(tar: tarfile.TarFile, name: str) -> int:
    member = tar.getmember(name)
    if member.issym():  # a layer that occurs twice is a link to the first
        return size_of(tar, posixpath.normpath(posixpath.join(name, "..", member.linkname)))
    return member.size


def prune(folder: Path, name: str) -> None:
    def used(path: Path) -> float:
        return path.stat().st_mtime

    for archive in sorted(folder.glob(f"{name}-*.tar"), key=used)[:-ARCHIVES_KEPT]:
        archive.unlink()
    for record in folder.glob(f"{name}-*.json"):
        if not Path(json.loads(record.read_text())["archive"]).exists():
            record.unlink()


def excess(image: Image, built: Built) -> str | None:
    megabytes = built.added_bytes / MEGABYTE
    if image.limit_megabytes is None or megabytes <= image.limit_megabytes:
        return None
    return (
        f"the image {image.name} is {megabytes:.0f} MB above its base, and "
        f"{image.limit_megabytes} MB is the limit"
    )


def print_sizes(built: Mapping[str, Built], progress: Progress) -> None:
    row = "  {:10} {:>8} {:>8} {:>11} {:>8}"
    progress.say(row.format("MB", "base", "image", "above base", "limit"))
    for name, of in built.items():
        base, added = of.base_bytes / MEGABYTE, of.added_bytes / MEGABYTE
        limit = IMAGES[name].limit_megabytes or "-"
        progress.say(row.format(name, f"{base:.0f}", f"{base + added:.0f}", f"{added:.0f}", limit))


def push(built: Built, builder: Builder, registry: str, progress: Progress) -> str:
    reference = f"{registry.rstrip('/')}/{built.reference.removeprefix('localhost/')}"
    progress.say(f"pushing {reference}")
    builder.push(Path(built.archive), built.image_id, reference)
    return reference


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m testbed.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    of_build = commands.add_parser("build", help="build what is not built yet")
    of_build.add_argument(
        "images", nargs="*", metavar="IMAGE", help=f"of {', '.join(IMAGES)}; all if none is named"
    )
    of_build.add_argument("--base", metavar="IMAGE", help="use this base image")
    of_build.add_argument(
        "--push", metavar="REGISTRY", help="push to this registry (host[:port][/path])"
    )
    of_build.add_argument("--quiet", action="store_true", help="no progress on stderr")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.images if name not in IMAGES]
    if unknown:
        parser.error(f"no image {', '.join(unknown)}; there are {', '.join(IMAGES)}")
    progress = Progress(quiet=arguments.quiet)
    try:
        built = build(arguments.images or list(IMAGES), arguments.base, arguments.push, progress)
    except TestbedError as e:
        print(e, file=sys.stderr)
        return 1
    for name, (reference, archive) in built.items():
        print(f"{name}={reference} {archive}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
