"""The server's own folder: nothing stays in it, whoever was still at work on a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocr_inference.workspace import Workspace


def left(workspace: Workspace) -> set[str]:
    return {path.name for path in workspace.path.iterdir()}


def test_a_file_is_gone_at_the_end_of_its_use(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.file(".pdf") as path:
        path.write_bytes(b"x")
        assert path.suffix == ".pdf"
    assert left(workspace) == {"lock"}
    workspace.close()


def test_who_comes_late_cannot_leave_a_file(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.file(".pdf") as path:
        pass
    with pytest.raises(FileNotFoundError):
        path.write_bytes(b"late")
    assert left(workspace) == {"lock"}
    workspace.close()
