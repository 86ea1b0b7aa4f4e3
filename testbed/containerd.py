"""containerd: its settings, and images from tar files, as no registry can be reached."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from testbed.debian import CNI_PLUGINS
from testbed.layout import PODS, Cluster
from testbed.namespaces import start_unit
from testbed.process import TestbedError, run

PAUSE = "localhost/pause:1"
START_TIMEOUT_SECONDS = 30.0
IMPORT_TIMEOUT_SECONDS = 600.0
# Unpacking waits for one core and the disk in turn.
IMPORTS_AT_ONCE = 4


def start(cluster: Cluster) -> None:
    settings = cluster.state / "containerd.toml"
    settings.write_text(toml(cluster))
    networks = cluster.state / "cni"
    networks.mkdir()
    (networks / "pods.conflist").write_text(json.dumps(bridge()))
    start_unit(cluster, "containerd", [shutil.which("containerd") or "", f"--config={settings}"])
    load_pause(cluster)


def toml(cluster: Cluster) -> str:
    return f"""\
version = 2
root = "{cluster.data}/containerd"
[grpc]
  address = "{cluster.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{cluster.data}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE no score may be lowered, and every sandbox would fail.
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{cluster.state}/cni"
"""


def bridge() -> dict[str, Any]:
    ranges = {"ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "pods0",
                "isGateway": True,
                "ipMasq": True,
                # A pod may reach itself by its Service.
                "hairpinMode": True,
                "ipam": {"type": "host-local", **ranges},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def load(socket: Path, archives: Sequence[Path]) -> list[str]:
    """Imports what `docker save` or `buildah push IMAGE docker-archive:FILE:NAME` wrote; the lines
    containerd says about each.
    """

    def load_one(archive: Path) -> str:
        if not archive.is_file():
            raise TestbedError(f"there is no {archive}")
        ctr: list[str | Path] = [
            "ctr",
            f"--address={socket}",
            "--namespace=k8s.io",
            "images",
            "import",
            archive,
        ]
        return run(ctr, timeout=IMPORT_TIMEOUT_SECONDS).strip()

    with ThreadPoolExecutor(IMPORTS_AT_ONCE) as pool:
        return list(pool.map(load_one, archives))


def load_pause(cluster: Cluster) -> None:
    archive = cluster.data / "pause.tar"
    write_pause(archive)
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            load(cluster.containerd_socket, [archive])
            return
        except TestbedError:
            # The socket is there before all that an import needs is.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def write_pause(archive: Path) -> None:
    """The image that holds a pod's namespaces: Debian's static busybox, sleeping."""
    busybox = Path(shutil.which("busybox") or "")
    layer = tar({"busybox": (busybox.read_bytes(), 0o755)})
    config = {
        "architecture": run(["dpkg", "--print-architecture"]).strip(),
        "os": "linux",
        "config": {"Entrypoint": ["/busybox", "sleep", "2147483647"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]
    files = {
        "config.json": (json.dumps(config).encode(), 0o644),
        "layer.tar": (layer, 0o644),
        "manifest.json": (json.dumps(manifest).encode(), 0o644),
    }
    archive.write_bytes(tar(files))


def tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
