"""A real S3 server over a folder, versitygw: `with s3_server(folder, "bucket") as store:`."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
from ocr_server import free_port

ACCESS, SECRET = "testaccess", "testsecret"
_REPOSITORY = Path(__file__).parents[2]


@dataclass
class Store:
    """Objects are files in `folder`, below a folder for each bucket."""

    folder: Path
    port: int
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_for(self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def put(self, bucket: str, key: str, body: bytes) -> None:
        """Upload, so that the server knows its checksum."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
        )
        with closing(client):
            client.put_object(Bucket=bucket, Key=key, Body=body)


@contextmanager
def s3_server(folder: Path, *buckets: str) -> Iterator[Store]:
    binary = subprocess.run(
        [sys.executable, "-m", "testbed", "tool", "versitygw"],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for bucket in buckets:
        (folder / bucket).mkdir(parents=True)
    port = free_port()
    address = f"--port=127.0.0.1:{port}"
    keys = (f"--access={ACCESS}", f"--secret={SECRET}")
    store = Store(folder, port, [binary, address, *keys, "posix", str(folder)])
    try:
        store.start()
        yield store
    finally:
        store.stop()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)
