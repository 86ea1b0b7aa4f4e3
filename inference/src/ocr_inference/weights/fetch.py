"""Weights put in place: whole and checked, or not at all.

Everything happens in `.fetched` inside the target folder, on one file system, so that putting in
place is a rename. A record there says what was fetched: a second time touches no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ocr_inference.made_folder import folder_for
from ocr_inference.settings import Settings
from ocr_inference.weights.download import Downloader, disk_failed, no_room
from ocr_inference.weights.remote import (
    FetchExit,
    FetchFailed,
    RemoteFile,
    identity,
    shown,
)
from ocr_inference.weights.sources import offered

_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OWN = ".fetched"


class Watch:
    """Told what happens; the command line draws it."""

    def found(self, files: list[RemoteFile], there: int) -> None:
        """`there` bytes of them have come already."""

    def unchecked(self, file: RemoteFile) -> None:
        """No checksum of it is known."""

    def waiting(self) -> None:
        """Another process fetches to the same folder."""


def fetch(
    source: str,
    to: Path,
    sha256: str | None,
    settings: Settings,
    downloader: Downloader,
    watch: Watch,
) -> bool:
    """Put the files of `source` into the folder `to`; False when they were there already.

    Archives (.tar, also compressed) are unpacked. What is there under the same name at the top of
    `to` is replaced. Raises `FetchFailed`; what has come is kept for the next time.
    """
    own = to / _OWN
    record = own / f"{_key(source, sha256)}.json"
    if _complete(record, to):
        return False
    try:
        with folder_for(own), _alone(own / "lock", watch.waiting):
            if _complete(record, to):  # the other process has fetched the same
                return False
            files = offered(source, sha256, settings, downloader)
            stage = own / _key(source, sha256) / identity(files)
            for older in stage.parent.glob("*"):
                if older != stage:
                    shutil.rmtree(older)
            _download(files, stage, downloader, watch)
            _install(files, stage, to, record, shown(source))
            shutil.rmtree(stage.parent)
    except OSError as error:
        raise disk_failed(error) from error
    return True


def _download(files: list[RemoteFile], stage: Path, downloader: Downloader, watch: Watch) -> None:
    whole, parts = stage / "files", stage / "parts"
    for folder in (whole, parts):
        folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in stage.rglob("*") if path.is_file())
    watch.found(files, there)
    needed, free = sum(file.size or 0 for file in files) - there, shutil.disk_usage(stage).free
    if needed > free:
        raise no_room(needed, free)
    for number, file in enumerate(files):
        place = whole / file.name
        if place.exists():  # only what was checked is there
            continue
        part = parts / f"{number}.part"
        downloader.file(file, part)
        _check(file, part, watch)
        place.parent.mkdir(parents=True, exist_ok=True)
        part.replace(place)


def _check(file: RemoteFile, part: Path, watch: Watch) -> None:
    size = part.stat().st_size
    if file.size is not None and size != file.size:
        part.unlink()
        raise FetchFailed(
            FetchExit.CHECKSUM, f"{file.shown} has {size} bytes; {file.size} were promised."
        )
    if file.digest is None:
        watch.unchecked(file)
    elif not file.digest.matches(part):
        # Not kept: the next time would go on from what is wrong.
        part.unlink()
        kind = {"sha256": "SHA-256", "md5": "MD5", "git": "git hash"}[file.digest.kind]
        raise FetchFailed(
            FetchExit.CHECKSUM,
            f"{file.shown}: the {kind} is not {file.digest.value}. What came was thrown away.",
        )


def _install(files: list[RemoteFile], stage: Path, to: Path, record: Path, source: str) -> None:
    ready, replaced = stage / "ready", stage / "replaced"
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir()
    shutil.rmtree(replaced, ignore_errors=True)
    replaced.mkdir()
    for file in files:
        path = stage / "files" / file.name
        if file.name.name.endswith(_ARCHIVES):
            _unpack(path, ready, file.shown)
        else:
            place = ready / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(path, place)
    sizes = {
        str(path.relative_to(ready)): path.stat().st_size
        for path in sorted(ready.rglob("*"))
        if path.is_file()
    }
    for entry in sorted(ready.iterdir()):
        place = to / entry.name
        if os.path.lexists(place):
            place.rename(replaced / entry.name)
        entry.rename(place)
    part = record.with_suffix(".part")
    part.write_text(json.dumps({"source": source, "files": sizes}, indent=1))
    part.replace(record)


def _link(path: Path, place: Path) -> None:
    try:
        place.hardlink_to(path)
    except OSError:  # a file system without links
        path.rename(place)


def _unpack(archive: Path, into: Path, name: str) -> None:
    try:
        with tarfile.open(archive) as packed:
            # "data": no absolute names, no "..", no devices, no links that lead outside.
            packed.extractall(into, filter="data")
    except tarfile.TarError as error:
        raise FetchFailed(FetchExit.REFUSED, f"{name} cannot be unpacked: {error}.") from error


def _complete(record: Path, to: Path) -> bool:
    try:
        sizes: dict[str, int] = json.loads(record.read_text())["files"]
        return all((to / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def _key(source: str, sha256: str | None) -> str:
    return hashlib.sha256(f"{source}\n{sha256 or ''}".encode()).hexdigest()[:16]


@contextmanager
def _alone(lock: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Two pods may share the volume; the second one finds everything done.

    The lock goes again where nothing was fetched, so the one that waited for it makes another.
    """
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            stream = lock.open("w")
        except FileNotFoundError:  # its folder went this moment
            continue
        with stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(stream, fcntl.LOCK_EX)
            if not _is_at(stream, lock):
                continue
            try:
                yield
            finally:
                with suppress(OSError):
                    if list(lock.parent.iterdir()) == [lock]:
                        lock.unlink()
            return


def _is_at(stream: TextIO, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), place.stat())
    except FileNotFoundError:
        return False
