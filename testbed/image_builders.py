"""The two programs that build a Dockerfile: docker where its daemon answers, else buildah."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from testbed import debian
from testbed.image_steps import BUILD_TIMEOUT_SECONDS, stream
from testbed.process import TestbedError, run
from testbed.progress import Progress

COPY_TIMEOUT_SECONDS = 900.0

# Stands in for the public slim Python image where no registry can be reached.
BASE_SUITE = "trixie"
BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
# Raised when `Buildah.make_base` changes what is in the base.
BASE_FORMAT = 1

# The layers of all three images are 3 GB; what is built anew at each change of a lock is bounded by
# nothing else.
STORAGE_LIMIT_BYTES = 16 * 10**9


@dataclass(frozen=True)
class Recipe:
    """One build: a target of a Dockerfile, in a context that nobody else writes to."""

    context: Path
    dockerfile: str
    target: str
    arguments: Mapping[str, str]
    secrets: Mapping[str, Path]


class Builder(Protocol):
    def base(self, wanted: str | None) -> str:
        """What decides the base's content, as far as it is known before a build."""

    def build(self, recipe: Recipe, base: str | None, log: Path) -> str:
        """Returns the image's id, 64 hexadecimal digits."""

    def save(self, image_id: str, reference: str, tar: Path) -> None: ...

    def push(self, tar: Path, image_id: str, reference: str) -> None: ...

    def layers_of_base(self, base: str | None) -> int: ...


def choose(folder: Path, progress: Progress) -> Builder:
    if shutil.which("docker"):
        try:
            run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=10)
        except TestbedError:
            pass
        else:
            return Docker(progress)
    if os.geteuid() != 0:
        raise TestbedError(
            "no docker daemon answers, and building with buildah needs root: "
            "run this as root (sudo -E), or start docker"
        )
    debian.ensure("images", progress)
    return Buildah(folder, progress)


class Docker:
    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def base(self, wanted: str | None) -> str:
        return wanted or "the Dockerfile's default"

    def build(self, recipe: Recipe, base: str | None, log: Path) -> str:
        id_file = log.with_suffix(".id")
        argv = [
            "docker", "build", "--progress=plain", "--network=host", f"--iidfile={id_file}",
            *build_options(recipe, base), str(recipe.context),
        ]  # fmt: skip
        environment = os.environ | {"DOCKER_BUILDKIT": "1"}
        stream(argv, r"#\d+ \[.*", log, self.progress, environment)
        return take_id(id_file)

    def save(self, image_id: str, reference: str, tar: Path) -> None:
        run(["docker", "tag", image_id, reference], timeout=60)
        run(["docker", "save", "--output", tar, reference], timeout=COPY_TIMEOUT_SECONDS)

    def push(self, tar: Path, image_id: str, reference: str) -> None:
        run(["docker", "load", "--input", tar], timeout=COPY_TIMEOUT_SECONDS)
        run(["docker", "tag", image_id, reference], timeout=60)
        run(["docker", "push", "--quiet", reference], timeout=COPY_TIMEOUT_SECONDS)

    def layers_of_base(self, base: str | None) -> int:
        # Building pulls it into a cache that `docker image` does not list.
        name = base or "python:3.13-slim-trixie"
        run(
            ["docker", "pull", "--quiet", "--platform=linux/amd64", name],
            timeout=COPY_TIMEOUT_SECONDS,
        )
        layers = run(["docker", "image", "inspect", "--format", "{{len .RootFS.Layers}}", name])
        return int(layers)


class Buildah:
    """Its storage is under the cache folder: all clones share the layers, none is the machine's."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress
        self.environment = os.environ | {
            "TMPDIR": str(folder / "tmp"),
            "BUILDAH_ISOLATION": "chroot",
        }
        # buildah keeps the cache mounts of RUN under TMPDIR.
        (folder / "tmp").mkdir(parents=True, exist_ok=True)

    def argv(self, *arguments: str | Path) -> list[str | Path]:
        storage = [f"--root={self.folder}/storage", f"--runroot={self.folder}/run"]
        return ["buildah", *storage, "--storage-driver=overlay", *arguments]

    def run(self, *arguments: str | Path, timeout: float = 60) -> str:
        return run(self.argv(*arguments), timeout=timeout, env=self.environment).strip()

    def base(self, wanted: str | None) -> str:
        return wanted or default_base()

    def build(self, recipe: Recipe, base: str | None, log: Path) -> str:
        self.bound_storage()
        if base is None:
            base = self.ensure_base()
        id_file = log.with_suffix(".id")
        argv = self.argv(
            "build", "--layers", "--format=docker", "--isolation=chroot", "--network=host",
            f"--iidfile={id_file}", *build_options(recipe, base), recipe.context,
        )  # fmt: skip
        stream(["nice", *argv], r"(\[\d+/\d+\] )?STEP .*", log, self.progress, self.environment)
        return take_id(id_file)

    def save(self, image_id: str, reference: str, tar: Path) -> None:
        self.run("tag", image_id, reference)
        self.run(
            "push",
            "--quiet",
            image_id,
            f"docker-archive:{tar}:{reference}",
            timeout=COPY_TIMEOUT_SECONDS,
        )

    def push(self, tar: Path, image_id: str, reference: str) -> None:  # noqa: ARG002
        # From the archive: the storage may have lost an image whose archive is still there.
        loaded = self.run("pull", "--quiet", f"docker-archive:{tar}", timeout=COPY_TIMEOUT_SECONDS)
        host = reference.split("/")[0].rsplit(":", 1)[0]
        plain = ["--tls-verify=false"] if host in ("localhost", "127.0.0.1") else []
        self.run(
            "push", "--quiet", *plain, loaded, f"docker://{reference}", timeout=COPY_TIMEOUT_SECONDS
        )

    def layers_of_base(self, base: str | None) -> int:
        name = base or default_base()
        layers = self.run("inspect", "--type=image", "--format", "{{.OCIv1.RootFS.DiffIDs}}", name)
        return len(layers.split())

    def ensure_base(self) -> str:
        name = default_base()
        if not self.run("images", "--quiet", "--filter", f"reference={name}"):
            self.make_base(name)
        return name

    def make_base(self, name: str) -> None:
        tree = self.folder / "tmp" / "base"
        shutil.rmtree(tree, ignore_errors=True)
        self.progress.run_long(
            f"making a base image of Debian {BASE_SUITE} (once)",
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(BASE_PACKAGES)}",
                BASE_SUITE,
                tree,
            ],
            timeout=BUILD_TIMEOUT_SECONDS,
        )
        for pattern in ("var/cache/apt/*", "var/lib/apt/lists/*", "var/log/*.log", "var/log/apt/*"):
            for path in tree.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        # What debootstrap copied from this machine.
        for machine_file in ("etc/resolv.conf", "etc/hostname"):
            (tree / machine_file).unlink(missing_ok=True)
        # As an archive, because a folder's files would all become root's.
        tar = tree.with_suffix(".tar")
        run(
            ["tar", "--numeric-owner", f"--directory={tree}", f"--file={tar}", "--create", "."],
            timeout=300,
        )
        container = self.run("from", "--quiet", "scratch")
        try:
            self.run("add", "--quiet", container, tar, "/", timeout=COPY_TIMEOUT_SECONDS)
            search = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            self.run(
                "config", "--env", search, "--env", "LANG=C.UTF-8", "--cmd", "python3", container
            )
            self.run(
                "commit",
                "--quiet",
                "--format=docker",
                container,
                name,
                timeout=COPY_TIMEOUT_SECONDS,
            )
        finally:
            self.run("rm", container)
            tar.unlink()
            shutil.rmtree(tree)

    def bound_storage(self) -> None:
        if self.storage_bytes() <= STORAGE_LIMIT_BYTES:
            return
        self.progress.say("removing the layers of images that are not kept")
        kept = {archive.stem.rpartition("-")[2] for archive in self.folder.glob("*.tar")}
        listed = self.run("images", "--no-trunc", "--format", "{{.ID}} {{.Name}}").splitlines()
        ids = {
            line.removeprefix("sha256:").split()[0] for line in listed if "localhost/ocr-" in line
        }
        base = self.run("images", "--no-trunc", "--quiet", default_base()).removeprefix("sha256:")
        if unused := ids - kept - {base}:
            self.run("rmi", "--force", *unused, timeout=COPY_TIMEOUT_SECONDS)
        self.run("rmi", "--prune", timeout=COPY_TIMEOUT_SECONDS)
        if self.storage_bytes() > STORAGE_LIMIT_BYTES:
            self.run("rmi", "--all", "--force", timeout=COPY_TIMEOUT_SECONDS)

    def storage_bytes(self) -> int:
        storage = self.folder / "storage"
        if not storage.is_dir():
            return 0
        return int(run(["du", "--summarize", "--block-size=1", storage], timeout=300).split()[0])


def default_base() -> str:
    recipe = f"{BASE_FORMAT} {BASE_SUITE} {' '.join(BASE_PACKAGES)}"
    return f"localhost/ocr-base:{BASE_SUITE}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def build_options(recipe: Recipe, base: str | None) -> list[str]:
    arguments = dict(recipe.arguments) | ({"BASE_IMAGE": base} if base else {})
    return [
        f"--file={recipe.context / recipe.dockerfile}",
        f"--target={recipe.target}",
        *(f"--build-arg={name}={value}" for name, value in arguments.items()),
        *(f"--secret=id={name},src={path}" for name, path in recipe.secrets.items()),
    ]


def take_id(id_file: Path) -> str:
    image_id = id_file.read_text().strip().removeprefix("sha256:")
    id_file.unlink()
    return image_id
