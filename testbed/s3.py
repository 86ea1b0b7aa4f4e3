"""A real S3 server, versitygw over a folder, on the node's address: pods reach it, and so does the
host.
"""

from __future__ import annotations

import secrets
import socket
import time
from pathlib import Path

from testbed.layout import Cluster
from testbed.namespaces import start_unit
from testbed.process import TestbedError

UNIT = "versitygw"
PORT = 7070
START_TIMEOUT_SECONDS = 20.0


def start(cluster: Cluster, versitygw: Path) -> dict[str, str]:
    """The variables a client needs. It runs until the cluster goes; calling again is harmless."""
    access, secret = credentials(cluster)
    folder = cluster.data / "s3"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not (cluster.units / UNIT).exists():
        argv: list[str | Path] = [
            versitygw,
            f"--port={cluster.node_ip}:{PORT}",
            f"--access={access}",
            f"--secret={secret}",
        ]
        start_unit(cluster, UNIT, [*argv, "posix", folder])
    wait_for_port(cluster)
    return {
        "S3_ENDPOINT": f"http://{cluster.node_ip}:{PORT}",
        "S3_ACCESS_KEY": access,
        "S3_SECRET_KEY": secret,
    }


def credentials(cluster: Cluster) -> tuple[str, str]:
    file = cluster.state / "s3.credentials"
    if not file.exists():
        partial = cluster.state / "s3.credentials.partial"
        partial.touch(mode=0o600)
        partial.write_text(f"{secrets.token_hex(10)}\n{secrets.token_hex(20)}\n")
        partial.rename(file)
    access, secret = file.read_text().split()
    return access, secret


def wait_for_port(cluster: Cluster) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            socket.create_connection((cluster.node_ip, PORT), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                log = cluster.logs / f"{UNIT}.log"
                raise TestbedError(f"versitygw does not answer; see {log}") from None
            time.sleep(0.05)
