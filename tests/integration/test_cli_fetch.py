"""`ocr-inference fetch` against servers that break off, stall, change their files and refuse."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer, eventually, file_server
from ocr_server import free_port
from s3_server import ACCESS, SECRET, s3_server

BODY = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server({"/models/model.bin": BODY}) as running:
        yield running


def command(*arguments: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OCR_", "AWS_", "HF_")) and not name.lower().endswith("_proxy")
    }
    return subprocess.Popen(
        [sys.executable, "-m", "ocr_inference", "fetch", *arguments],
        env={**kept, "HOME": str(home), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fetch(*arguments: str, home: Path, code: int = 0, **environment: str) -> str:
    """What it says, which is on standard error."""
    process = command(*arguments, home=home, **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert out == ""
    return err


def test_a_file_is_fetched_once_and_then_without_the_network(
    server: FileServer, tmp_path: Path
) -> None:
    to = tmp_path / "models"
    source = f"{server.url}/models/model.bin"
    fetch(source, "--to", str(to), "--sha256", SHA256, home=tmp_path)
    assert (to / "model.bin").read_bytes() == BODY
    asked = len(server.requests)
    again = fetch(source, "--to", str(to), "--sha256", SHA256, home=tmp_path)
    assert "already" in again
    assert len(server.requests) == asked
    # What was damaged since is fetched again.
    (to / "model.bin").write_bytes(b"cut off")
    fetch(source, "--to", str(to), "--sha256", SHA256, home=tmp_path)
    assert (to / "model.bin").read_bytes() == BODY


def test_a_connection_that_breaks_off_again_and_again_costs_no_byte_twice(
    server: FileServer, tmp_path: Path
) -> None:
    server.behaviour.break_after, server.behaviour.breaks = 300_000, 3
    said = fetch(
        f"{server.url}/models/model.bin", "--to", str(tmp_path), "--sha256", SHA256, home=tmp_path
    )
    assert (tmp_path / "model.bin").read_bytes() == BODY
    assert server.ranges() == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]
    assert said.count("Trying again") == 3


def test_a_killed_fetch_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    server.behaviour.stall_after = 500_000
    arguments = (f"{server.url}/models/model.bin", "--to", str(tmp_path), "--sha256", SHA256)
    process = command(*arguments, home=tmp_path)
    eventually(lambda: sum(part.stat().st_size for part in tmp_path.rglob("*.part")) == 500_000)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "model.bin").exists()
    server.behaviour.stall_after = None
    said = fetch(*arguments, home=tmp_path)
    assert "0.5 MB of it there" in said
    assert server.ranges()[-1] == "bytes=500000-"
    assert (tmp_path / "model.bin").read_bytes() == BODY


def test_ctrl_c_keeps_what_came(server: FileServer, tmp_path: Path) -> None:
    server.behaviour.stall_after = 500_000
    process = command(
        f"{server.url}/models/model.bin", "--to", str(tmp_path), "--sha256", SHA256, home=tmp_path
    )
    eventually(lambda: any(part.stat().st_size for part in tmp_path.rglob("*.part")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "goes on from here" in err and "Traceback" not in err


def test_a_file_that_changes_meanwhile_is_fetched_from_its_beginning(
    server: FileServer, tmp_path: Path
) -> None:
    other = bytes(reversed(BODY))
    server.behaviour.break_after, server.behaviour.breaks = 300_000, 1
    process = command(
        f"{server.url}/models/model.bin",
        "--to",
        str(tmp_path),
        "--sha256",
        hashlib.sha256(other).hexdigest(),
        home=tmp_path,
    )
    eventually(lambda: server.behaviour.breaks == 0)
    server.files["/models/model.bin"] = other
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert (tmp_path / "model.bin").read_bytes() == other


@pytest.mark.parametrize(("ranges", "etags"), [(False, True), (True, False)])
def test_a_server_without_ranges_or_without_versions_is_enough(
    server: FileServer, tmp_path: Path, ranges: bool, etags: bool
) -> None:
    server.behaviour.ranges, server.behaviour.etags = ranges, etags
    server.behaviour.break_after, server.behaviour.breaks = 300_000, 1
    fetch(
        f"{server.url}/models/model.bin", "--to", str(tmp_path), "--sha256", SHA256, home=tmp_path
    )
    assert (tmp_path / "model.bin").read_bytes() == BODY


def test_it_ends_when_no_byte_comes(server: FileServer, tmp_path: Path) -> None:
    server.behaviour.stall_after = 1000
    began = time.monotonic()
    said = fetch(
        f"{server.url}/models/model.bin",
        "--to",
        str(tmp_path),
        "--sha256",
        SHA256,
        "--idle-timeout",
        "2",
        home=tmp_path,
        code=3,
    )
    assert "no byte came for 2 s" in said
    # It asked once more before it gave up, for the rest.
    assert server.ranges()[:2] == [None, "bytes=1000-"]
    assert time.monotonic() - began > 2


def test_a_dead_host_is_said_once_and_leaves_nothing(tmp_path: Path) -> None:
    server = f"https://127.0.0.1:{free_port()}"
    to = tmp_path / "models"
    said = fetch(
        f"{server}/model.bin", "--to", str(to), "--idle-timeout", "4", home=tmp_path, code=3
    )
    why = "the connection was refused."
    assert said == (
        f"ocr-inference: {server}: {why} "
        "Trying again, for up to 4 s without a byte (--idle-timeout).\n"
        f"ocr-inference: {server}: no byte came for 4 s, and {why}\n"
    )
    assert not to.exists()
    to.mkdir()
    fetch(f"{server}/model.bin", "--to", str(to), "--sha256", "abc", home=tmp_path, code=2)
    assert list(to.iterdir()) == []


def test_the_one_that_waited_for_a_fetch_that_failed_fetches(
    server: FileServer, tmp_path: Path
) -> None:
    to = tmp_path / "models"
    dead = f"https://127.0.0.1:{free_port()}/model.bin"
    first = command(dead, "--to", str(to), home=tmp_path)
    lock = to / ".fetched" / "lock"
    eventually(lock.exists)
    second = command(
        f"{server.url}/models/model.bin", "--to", str(to), "--sha256", SHA256, home=tmp_path
    )
    assert second.stderr is not None
    assert "waiting for it" in second.stderr.readline()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert (to / "model.bin").read_bytes() == BODY
    assert lock.exists()


def test_a_server_that_is_busy_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.behaviour.status = [503, 429]
    fetch(
        f"{server.url}/models/model.bin", "--to", str(tmp_path), "--sha256", SHA256, home=tmp_path
    )
    assert (tmp_path / "model.bin").read_bytes() == BODY


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_final(server: FileServer, tmp_path: Path, status: int) -> None:
    server.behaviour.status = [status] * 9
    said = fetch(
        f"{server.url}/models/model.bin?signature=secret",
        "--to",
        str(tmp_path),
        "--sha256",
        SHA256,
        home=tmp_path,
        code=4,
    )
    assert str(status) in said and "secret" not in said
    assert len(server.requests) == 1


def test_a_wrong_checksum_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    said = fetch(
        f"{server.url}/models/model.bin", "--to", str(tmp_path), "--sha256", "0" * 64,
        home=tmp_path, code=5,
    )  # fmt: skip
    assert "SHA-256" in said
    assert not (tmp_path / "model.bin").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_too_small_a_disk_is_said(server: FileServer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = 'mount -t tmpfs -o size=400k tmpfs "$0" && exec "$@"'  # in a namespace of its own
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, str(small),
         sys.executable, "-m", "ocr_inference", "fetch", f"{server.url}/models/model.bin",
         "--to", str(small), "--sha256", SHA256],
        capture_output=True, text=True, timeout=60, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "free on the disk" in done.stderr


def test_a_folder_that_cannot_be_written_is_said(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = fetch(
        f"{server.url}/models/model.bin", "--to", str(tmp_path / "file" / "below"),
        "--sha256", SHA256, home=tmp_path, code=7,
    )  # fmt: skip
    assert "cannot be written" in said and "Traceback" not in said


def packed(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return buffer.getvalue()


def test_an_archive_is_unpacked_and_replaces_what_was_there(
    server: FileServer, tmp_path: Path
) -> None:
    body = server.files["/w.tar.gz"] = packed("layout/model.json", "vl/a.bin", "vl/sub/b.bin")
    (tmp_path / "vl").mkdir()
    (tmp_path / "vl" / "old.bin").touch()
    (tmp_path / "mine").touch()
    fetch(
        f"{server.url}/w.tar.gz", "--to", str(tmp_path),
        "--sha256", hashlib.sha256(body).hexdigest(), home=tmp_path,
    )  # fmt: skip
    assert (tmp_path / "vl" / "sub" / "b.bin").read_text() == "vl/sub/b.bin"
    assert not (tmp_path / "vl" / "old.bin").exists()
    assert (tmp_path / "mine").exists()
    assert not list(tmp_path.rglob("*.tar.gz"))


def test_an_archive_with_a_way_out_is_refused_whole(server: FileServer, tmp_path: Path) -> None:
    body = server.files["/evil.tar"] = packed("good.bin", "../evil.bin")
    to = tmp_path / "to"
    fetch(
        f"{server.url}/evil.tar", "--to", str(to),
        "--sha256", hashlib.sha256(body).hexdigest(), home=tmp_path, code=4,
    )  # fmt: skip
    assert not (tmp_path / "evil.bin").exists() and not (to / "good.bin").exists()


def test_a_list_of_checksums_names_the_files(server: FileServer, tmp_path: Path) -> None:
    server.files["/models/sub/b.bin"] = b"b"
    sums = f"{SHA256}  model.bin\n{hashlib.sha256(b'b').hexdigest()}  sub/b.bin\n".encode()
    server.files["/models/SHA256SUMS"] = sums
    own = hashlib.sha256(sums).hexdigest()
    source = f"{server.url}/models/SHA256SUMS"
    fetch(source, "--to", str(tmp_path), "--sha256", own, home=tmp_path)
    assert (tmp_path / "sub" / "b.bin").read_bytes() == b"b"
    server.files["/models/sub/b.bin"] = b"c"
    to = tmp_path / "other"
    fetch(source, "--to", str(to), "--sha256", own, home=tmp_path, code=5)
    # All or nothing, though one of the two was right.
    assert [path.name for path in to.iterdir()] == [".fetched"]


@pytest.fixture
def hub() -> Iterator[FileServer]:
    """Two repositories as a model hub shows them."""
    files: dict[str, bytes] = {}
    for name in ("PP-DocLayoutV3", "PaddleOCR-VL-1.6"):
        small = b'{"model": 1}'
        listing = {
            "sha": "c0ffee",
            "siblings": [
                {"rfilename": ".gitattributes", "size": 3, "blobId": "x"},
                {
                    "rfilename": "model.safetensors",
                    "size": len(BODY),
                    "blobId": "0" * 40,
                    "lfs": {"sha256": SHA256, "size": len(BODY), "pointerSize": 130},
                },
                {
                    "rfilename": "sub/config.json",
                    "size": len(small),
                    "blobId": hashlib.sha1(b"blob %d\0" % len(small) + small).hexdigest(),  # noqa: S324
                },
            ],
        }
        files[f"/api/models/PaddlePaddle/{name}/revision/main"] = json.dumps(listing).encode()
        files[f"/PaddlePaddle/{name}/resolve/c0ffee/model.safetensors"] = BODY
        files[f"/PaddlePaddle/{name}/resolve/c0ffee/sub/config.json"] = small
    with file_server(files) as running:
        yield running


def test_a_models_name_puts_its_repositories_where_the_engine_looks(
    hub: FileServer, tmp_path: Path
) -> None:
    hub.behaviour.break_after, hub.behaviour.breaks = 700_000, 2
    fetch("paddleocr-vl", home=tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="hub-token")
    models = tmp_path / ".cache" / "ocr-inference" / "paddlex" / "official_models"
    for name in ("PP-DocLayoutV3", "PaddleOCR-VL-1.6"):
        assert (models / name / "model.safetensors").read_bytes() == BODY
        assert (models / name / "sub" / "config.json").exists()
    assert {headers.get("authorization") for _, headers in hub.requests} == {"Bearer hub-token"}
    before = len(hub.requests)
    fetch("paddleocr-vl", home=tmp_path, HF_ENDPOINT=hub.url)
    assert len(hub.requests) == before


def test_the_hubs_own_checksums_are_compared(hub: FileServer, tmp_path: Path) -> None:
    damaged = b'{"model": 2}'
    hub.files["/PaddlePaddle/PP-DocLayoutV3/resolve/c0ffee/sub/config.json"] = damaged
    said = fetch(
        "hf://PaddlePaddle/PP-DocLayoutV3", "--to", str(tmp_path / "to"),
        home=tmp_path, code=5, HF_ENDPOINT=hub.url,
    )  # fmt: skip
    assert "git hash" in said
    said = fetch("hf://PaddlePaddle/Nothing", home=tmp_path, code=4, HF_ENDPOINT=hub.url)
    assert "The hub has no PaddlePaddle/Nothing at main." in said


def test_the_token_of_the_hub_goes_nowhere_else(hub: FileServer, tmp_path: Path) -> None:
    path = "/PaddlePaddle/PP-DocLayoutV3/resolve/c0ffee/model.safetensors"
    with file_server({"/cdn": BODY}) as cdn:
        listing = json.loads(hub.files["/api/models/PaddlePaddle/PP-DocLayoutV3/revision/main"])
        listing["siblings"] = [dict(listing["siblings"][1], rfilename="model.safetensors")]
        hub.files["/api/models/PaddlePaddle/PP-DocLayoutV3/revision/main"] = json.dumps(
            listing
        ).encode()
        hub.behaviour.redirects = {path: f"{cdn.url}/cdn".replace("127.0.0.1", "localhost")}
        fetch(
            "hf://PaddlePaddle/PP-DocLayoutV3", "--to", str(tmp_path),
            home=tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN="hub-token",
        )  # fmt: skip
        assert (tmp_path / "PP-DocLayoutV3" / "model.safetensors").read_bytes() == BODY
        assert [headers.get("authorization") for _, headers in cdn.requests] == [None]


def test_a_bucket_is_fetched_and_checked(tmp_path: Path) -> None:
    with s3_server(tmp_path / "s3", "models") as store:
        credentials = {
            "OCR_S3_ENDPOINT": store.endpoint,
            "OCR_S3_ACCESS_KEY": ACCESS,
            "OCR_S3_SECRET_KEY": SECRET,
            "OCR_S3_REGION": "us-east-1",
        }
        store.put("models", "vl/1.6/PP-DocLayoutV3/inference.json", b"{}")
        store.put("models", "vl/1.6/VL/model.safetensors", BODY)
        store.put("models", "vl/1.60/no", b"another prefix")
        to = tmp_path / "to"
        fetch("s3://models/vl/1.6", "--to", str(to), home=tmp_path, **credentials)
        assert (to / "VL" / "model.safetensors").read_bytes() == BODY
        assert sorted(path.name for path in to.iterdir()) == [".fetched", "PP-DocLayoutV3", "VL"]

        # Its own ETag says so, when what is stored is not what was uploaded.
        stored = store.folder / "models" / "vl/1.6/VL/model.safetensors"
        stored.write_bytes(bytes(len(BODY)))
        other = str(tmp_path / "other")
        said = fetch("s3://models/vl/1.6", "--to", other, home=tmp_path, code=5, **credentials)
        assert "MD5" in said
        said = fetch("s3://models/none", "--to", other, home=tmp_path, code=4, **credentials)
        assert "nothing is there" in said
        wrong = {**credentials, "OCR_S3_SECRET_KEY": "wrong"}
        said = fetch("s3://models/vl", "--to", other, home=tmp_path, code=4, **wrong)
        assert "SignatureDoesNotMatch" in said or "403" in said
