"""Keys as files."""

from __future__ import annotations

import hmac
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocr_inference import auth
from ocr_inference.auth import ANONYMOUS, KeyRing


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    (tmp_path / "alice").write_text("secret-a\n")
    (tmp_path / "bob").write_bytes(b"secret-b")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "..data").mkdir()
    (tmp_path / ".hidden").write_text("hidden")
    return KeyRing(tmp_path, wanted=True)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "token", "Token"])
def test_a_client_is_the_name_of_its_file(ring: KeyRing, scheme: str) -> None:
    assert ring.client(f"{scheme} secret-a") == "alice"
    assert ring.client(f"{scheme} secret-b") == "bob"


@pytest.mark.parametrize(
    "header",
    [None, "", "secret-a", "Bearer", "Bearer ", "Basic secret-a", "Bearer hidden", "Bearer ключ"],
)
def test_others_are_nobody(ring: KeyRing, header: str | None) -> None:
    assert ring.client(header) is None


@pytest.mark.parametrize("key", ["ключ", "voilà", "schlüssel"])
def test_a_key_may_have_any_letters(ring: KeyRing, tmp_path: Path, key: str) -> None:
    (tmp_path / "carol").write_text(f"{key}\n", "utf-8")
    # As the header of a client that sends UTF-8 comes out of ASGI.
    assert ring.client(f"Bearer {key}".encode().decode("latin-1")) == "carol"
    assert ring.client(f"Bearer {key}a".encode().decode("latin-1")) is None


def test_without_a_directory_nobody_is_let_in(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "missing", wanted=True)
    assert ring.missing
    assert ring.client("Bearer x") is None


def test_where_no_keys_are_wanted_everybody_is_anonymous(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path, wanted=False)
    assert not ring.missing
    assert ring.client(None) == ANONYMOUS


def test_a_file_that_cannot_be_read_leaves_the_keys_as_they_were(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> tuple[str, int, int, int]:
        raise PermissionError(13, "Permission denied", str(path))

    assert ring.client("Bearer secret-a") == "alice"
    monkeypatch.setattr(auth, "_CHECK_EVERY_S", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(auth, "_stamp", fail)
        assert ring.client("Bearer secret-a") == "alice"
    (tmp_path / "alice").write_text("secret-c")
    assert ring.client("Bearer secret-c") == "alice"
    shutil.rmtree(tmp_path)
    assert ring.client("Bearer secret-c") is None
    assert ring.missing


@pytest.mark.parametrize("key", ["secret-a", "secret-b", "secret-", "", "x" * 10_000])
def test_every_key_is_compared_whole_whichever_is_right(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    compared = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((len(given), len(known)))
        return hmac.compare_digest(given, known)

    monkeypatch.setattr(auth, "hmac", SimpleNamespace(compare_digest=compare))
    ring.client(f"Bearer {key}")
    # Digests of one length, so that not even a key's length is told.
    assert compared == [(32, 32), (32, 32)]


def test_a_rotated_key_is_the_same_client(
    ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_CHECK_EVERY_S", 0.0)
    (tmp_path / "alice").write_text("secret-new")
    assert ring.client("Bearer secret-new") == "alice"
    assert ring.client("Bearer secret-a") is None
    assert ring.client("Bearer secret-b") == "bob"
