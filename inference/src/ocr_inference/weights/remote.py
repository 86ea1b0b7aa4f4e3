"""What a source offers: files with their addresses and checksums, and how a fetch fails."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

DigestKind = Literal["sha256", "md5", "git"]

SUMS = "SHA256SUMS"
"""The file of checksums that may be among the others."""

_CHUNK = 1024 * 1024


class FetchExit(IntEnum):
    """Exit codes of `ocr-inference fetch`; 2 is a command line that cannot be carried out."""

    USAGE = 2
    UNREACHABLE = 3
    """Nobody answers, or nothing comes for the idle timeout: again later."""
    REFUSED = 4
    """The source has no such file, or does not give it to us."""
    CHECKSUM = 5
    """What came is not what was promised."""
    NO_SPACE = 6
    NOT_WRITABLE = 7


class FetchFailed(Exception):
    """The sentence is for people; it holds no secrets and no query of a URL."""

    def __init__(self, code: FetchExit, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum in hexadecimal; `git` is the name of a blob in git (SHA-1 with its header)."""

    kind: DigestKind
    value: str

    def matches(self, file: Path) -> bool:
        match self.kind:
            case "sha256":
                state = hashlib.sha256()
            case "md5":
                state = hashlib.md5(usedforsecurity=False)
            case "git":
                state = hashlib.sha1(usedforsecurity=False)
                state.update(b"blob %d\0" % file.stat().st_size)
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                state.update(chunk)
        return state.hexdigest() == self.value.lower()


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """`name` is where it belongs below the target folder; `size` is in bytes where it is known."""

    name: PurePosixPath
    url: str
    size: int | None = None
    digest: Digest | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = self.name.parts
        if self.name.is_absolute() or not parts or ".." in parts or "\0" in str(self.name):
            raise FetchFailed(
                FetchExit.REFUSED, f"The source names a file {str(self.name)!r}, which is not safe."
            )

    @property
    def shown(self) -> str:
        """Its address for people: without what may be a secret."""
        return shown(self.url)


def identity(files: list[RemoteFile]) -> str:
    """Changes when any file does: parts of one version must not be joined with another's."""
    about = [
        [str(file.name), file.shown, file.size, file.digest and file.digest.value]
        for file in sorted(files, key=lambda file: file.name)
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def shown(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


_SUM_LINE = re.compile(r"(?P<sum>[0-9a-fA-F]{64})[ \t]+\*?(?P<name>.+)")


def parse_sums(text: str) -> dict[PurePosixPath, Digest]:
    """A `SHA256SUMS` file as `sha256sum` writes it. Raises `FetchFailed` for anything else."""
    sums = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _SUM_LINE.fullmatch(line.rstrip())
        if match is None:
            raise FetchFailed(FetchExit.REFUSED, "SHA256SUMS is not what sha256sum writes.")
        sums[PurePosixPath(match["name"])] = Digest("sha256", match["sum"].lower())
    return sums
