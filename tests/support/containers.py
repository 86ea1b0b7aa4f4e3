"""An image mounted by buildah, and its program run by runc as in a pod, without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER = 10001
VOLUMES = ("/tmp", "/app/cache", "/app/output")
"""What a pod of the server mounts to be written to."""


@dataclass(frozen=True)
class Mounted:
    """The root file system and the configuration of an image; bundles are made in `folder`."""

    folder: Path
    root: Path
    image: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """User, environment, labels."""
        return self.image["config"]

    def run(
        self,
        *command: str,
        mounts: dict[Path, str] | None = None,
        timeout: float = 120,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """The image's entry point with `command`: its own user, read-only root, no capability and
        no network. `mounts` are folders of this machine and where they appear: read-only, but
        in the place of a volume."""
        name = f"ocr-test-{uuid.uuid4().hex[:8]}"
        bundle = self.folder / name
        given = {target: path for path, target in (mounts or {}).items()}
        volumes = {path: given.get(path) or bundle / path.strip("/") for path in VOLUMES}
        for folder in volumes.values():
            make_writable(folder)
        binds = [(path, target, "rw") for target, path in volumes.items()]
        binds += [(path, target, "ro") for target, path in given.items() if target not in volumes]
        bundle.joinpath("config.json").write_text(
            json.dumps(self._specification(binds, command, environment))
        )
        try:
            return subprocess.run(
                ["runc", "run", "--bundle", str(bundle), name],
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=timeout, check=False,
            )  # fmt: skip
        finally:
            subprocess.run(["runc", "delete", "--force", name], capture_output=True, check=False)

    def _specification(
        self, volumes: list[tuple[Path, str, str]], command: tuple[str, ...], more: dict[str, str]
    ) -> dict[str, Any]:
        binds = [
            {
                "destination": target,
                "type": "bind",
                "source": str(source),
                "options": ["rbind", "nosuid", "nodev", mode],
            }
            for source, target, mode in volumes
        ]
        uid, gid = map(int, self.config["User"].split(":"))
        return {
            "ociVersion": "1.0.2",
            "process": {
                "user": {"uid": uid, "gid": gid},
                "args": [*self.config["Entrypoint"], *command],
                "env": [*self.config["Env"], *(f"{key}={value}" for key, value in more.items())],
                "cwd": self.config["WorkingDir"],
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {
                    "destination": "/dev",
                    "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "mode=755", "size=65536k"],
                },
                {
                    "destination": "/dev/shm",
                    "type": "tmpfs",
                    "source": "shm",
                    "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
                },
                *binds,
            ],
            "linux": {
                "namespaces": [
                    {"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")
                ],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/sysrq-trigger"],
            },
        }


def make_writable(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)


@contextmanager
def mounted(archive: Path, folder: Path) -> Iterator[Mounted]:
    """The image of an archive. Where buildah built it, its layers are in the storage still and
    nothing is copied."""
    name = f"ocr-test-{uuid.uuid4().hex[:8]}"
    buildah("from", "--quiet", "--name", name, f"docker-archive:{archive}")
    try:
        image = json.loads(buildah("inspect", "--type=container", name))["Docker"]
        yield Mounted(folder, Path(buildah("mount", name).strip()), image)
    finally:
        buildah("rm", name)


def buildah(*arguments: str) -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    images = cache / "ocr-operator" / "images"
    storage = [f"--root={images}/storage", f"--runroot={images}/run", "--storage-driver=overlay"]
    return subprocess.run(
        ["buildah", *storage, *arguments],
        stdout=subprocess.PIPE, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip
