"""`ocr-inference read` as a user runs it: folders, formats, failures, Ctrl-C, a terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from documents import pdf as written_pdf
from file_server import eventually
from ocr_server import pdf, picture


def start(
    *arguments: str,
    home: Path,
    script: Mapping[str, Any] | None = None,
    TMPDIR: str | None = None,
    **options: Any,
) -> subprocess.Popen[Any]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OCR_")}
    (home / "tmp").mkdir(exist_ok=True)
    environment = {
        **kept,
        "HOME": str(home),
        "TMPDIR": TMPDIR or str(home / "tmp"),
        "OCR_MODEL": "scripted",
        "OCR_SCRIPT": json.dumps({"phases": [], **(script or {})}),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    command = [sys.executable, "-m", "ocr_inference", "read", *arguments]
    return subprocess.Popen(command, env=environment, cwd=home, **options)


def read(
    *arguments: str, home: Path, script: Mapping[str, Any] | None = None, code: int = 0
) -> tuple[str, str]:
    process = start(*arguments, home=home, script=script)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert list((home / "tmp").iterdir()) == []
    return out, err


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.png").write_bytes(picture(41))
    (folder / "b.pdf").write_bytes(pdf(3))
    (folder / "sub" / "c.png").write_bytes(picture(43))
    (folder / "notes.txt").write_text("none")
    return folder


def test_a_folder_is_read_in_order(scans: Path, tmp_path: Path) -> None:
    out, err = read("scans", home=tmp_path, script={"text": "{width}"})
    assert out == (
        "==> scans/a.png <==\n41\n==> scans/b.pdf <==\n278\f278\f278\n==> scans/sub/c.png <==\n43\n"
    )
    assert "1 file was left out: no documents." in err


def test_one_file_for_each_document_in_the_same_sub_folders(scans: Path, tmp_path: Path) -> None:
    out, err = read("scans", "--to", "out", "--output", "json", home=tmp_path)
    assert out == ""
    assert "5 pages of 3 documents were read, 0 failed." in err
    found = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [str(path.relative_to(tmp_path / "out")) for path in found] == [
        "a.json",
        "b.json",
        "sub/c.json",
    ]
    body = json.loads(found[1].read_text())
    assert (body["file"], body["status"], len(body["pages"])) == ("scans/b.pdf", "success", 3)
    _, err = read("scans", "--to", "out", "--output", "json", home=tmp_path, code=2)
    assert "--force" in err
    (tmp_path / "out" / "a.json").unlink()
    _, err = read("scans", "--to", "out", "--output", "json", "--skip-existing", home=tmp_path)
    assert "1 page of 1 document was read, 0 failed." in err


@pytest.mark.parametrize(("output", "beginning"), [("pdf", b"%PDF-"), ("hocr", b"<?xml")])
def test_other_formats_go_through_a_pipe(
    scans: Path, tmp_path: Path, output: str, beginning: bytes
) -> None:
    process = start(
        "scans/b.pdf", "--output", output, "--pages", "2-3", "--dpi", "100",
        home=tmp_path, script={"text": "said"}, text=False,
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith(beginning)


def test_what_failed_is_listed_and_the_rest_is_there(scans: Path, tmp_path: Path) -> None:
    (scans / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    script = {"text": "said", "pages": [{}, {"fail": "Too faint."}]}
    out, err = read("scans", "none.png", "--workers", "1", home=tmp_path, script=script, code=1)
    assert out.count("==>") == 3
    assert "none.png: There is no such file." in err
    assert "scans/bad.png: The image is damaged or not complete." in err
    assert ", page " in err and ": Too faint." in err
    assert "failed." in err


def test_each_document_has_its_line_of_json(scans: Path, tmp_path: Path) -> None:
    (scans / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    out, _ = read("scans", "none.png", "--output", "json", home=tmp_path, code=1)
    lines = {body["file"]: body for body in map(json.loads, out.splitlines())}
    assert {name: body["status"] for name, body in lines.items()} == {
        "scans/a.png": "success",
        "scans/b.pdf": "success",
        "scans/bad.png": "failed",
        "scans/sub/c.png": "success",
        "none.png": "failed",
    }
    bad = {"code": "decode_failed", "message": "The image is damaged or not complete."}
    assert lines["scans/bad.png"]["error"] == bad
    missing = {"code": "no_such_file", "message": "There is no such file."}
    assert lines["none.png"]["error"] == missing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.png"], "none.png: There is no such file."),
        (["*.gif"], "*.gif: The pattern matches nothing."),
        (["/dev/null"], "/dev/null: This is not a file or a folder."),
        (["scans", "--pages", "abc"], "--pages: Pages are selected by numbers and ranges"),
        (["scans", "--to", "/proc/x"], "/proc/x cannot be written: "),
    ],
)
def test_what_cannot_be_begun_is_said_once_before_the_engine_loads(
    scans: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    script = {"phases": [{"name": "load_model", "fail": "Loaded."}]}
    out, err = read(*arguments, home=tmp_path, script=script, code=2)
    assert out == ""
    assert err.startswith(f"ocr-inference: {words}") and err.count("\n") == 1


def test_an_output_that_cannot_be_written_is_a_sentence(scans: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("scans", home=tmp_path, script={"text": "said"}, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == (
        "ocr-inference: 1 file was left out: no documents.\n"
        "ocr-inference: standard output cannot be written: No space left on device.\n"
    )


def test_a_reader_that_has_seen_enough_is_no_failure_to_tell(scans: Path, tmp_path: Path) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    process = start("scans/a.png", home=tmp_path, script={"text": "said"}, stdout=ours)
    os.close(ours)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")


def test_a_document_that_cannot_be_written_is_told_in_words(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").touch()
    _, err = read("scans", "--to", "out", home=tmp_path, code=1)
    assert "scans/sub/c.png: out/sub cannot be written: File exists." in err
    assert "4 pages of 2 documents were read, 1 failed." in err


def test_a_temporary_directory_that_is_not_there_is_a_sentence(scans: Path, tmp_path: Path) -> None:
    process = start("scans/a.png", home=tmp_path, TMPDIR="/nosuch")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    said = "the temporary directory cannot be used: /nosuch: No such file or directory."
    assert err == f"ocr-inference: {said}\n"


def test_a_crash_costs_its_page(scans: Path, tmp_path: Path) -> None:
    script = {"text": "said", "crash_on_page": 2}
    out, err = read("scans/b.pdf", "--workers", "1", home=tmp_path, script=script, code=1)
    assert out.count("said") == 2
    assert err.count("page ") >= 1


def test_selected_pages_that_are_not_there_are_refused(scans: Path, tmp_path: Path) -> None:
    _, err = read("scans/b.pdf", "--pages", "4", home=tmp_path, code=1)
    assert "Page 4 was asked for; the document has 3 pages." in err


def test_a_model_that_cannot_be_loaded_ends_it(scans: Path, tmp_path: Path) -> None:
    script = {"phases": [{"name": "load_model", "fail": "No weights."}]}
    out, err = read("scans", home=tmp_path, script=script, code=2)
    assert out == ""
    assert "scripted cannot be loaded: load_model: No weights." in err


def test_a_pdf_may_speak_for_itself(tmp_path: Path) -> None:
    content = "BT /F1 24 Tf 20 100 Td (Its own words) Tj ET"
    font = "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    (tmp_path / "a.pdf").write_bytes(written_pdf((300, 200), content=content, extra=font))
    script = {"text": "read from the picture"}
    out, _ = read("a.pdf", "--pdf-mode", "text", home=tmp_path, script=script)
    assert out.strip() == "Its own words"


def test_flags_win_over_the_environment(scans: Path, tmp_path: Path) -> None:
    _, err = read("scans/a.png", "--model", "nonsense", home=tmp_path, code=2)
    assert "Unknown model 'nonsense'" in err
    out, _ = read("scans/a.png", "--language", "de", "--output", "json", home=tmp_path)
    assert json.loads(out)["languages"] == ["de"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_done_and_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    for page in range(9):
        (folder / f"{page}.png").write_bytes(picture(40 + page))
    script = {"text": "said", "pages": [{}, {}, *[{"hang": True}] * 9]}
    process = start("scans", "--to", "out", "--workers", "3", home=tmp_path, script=script)
    eventually(lambda: len(list((tmp_path / "out").glob("*.txt"))) == 2, 60)
    # Pages are read side by side, and what hangs in one place does not hold the others.
    eventually(lambda: len(_engines_of(process.pid)) == 3, 60)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "Interrupted: 2 of 9 documents were read." in err and "Traceback" not in err
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not _children_of(process.pid)


def test_a_terminal_shows_a_bar_and_a_table(scans: Path, tmp_path: Path) -> None:
    (scans / "[bold]bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    ours, theirs = pty.openpty()
    script = {"text": "said", "page_seconds": 0.3}
    process = start("scans", home=tmp_path, script=script, stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=60)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.returncode == 1
    assert out.count("said") == 5
    text = shown.decode()
    assert "reading" in text and "pages" in text
    assert "[bold]bad.png" in text and "error" in text


def _engines_of(pid: int) -> list[str]:
    return [
        child
        for child in _children_of(pid)
        if "\0engine\0" in _text(Path("/proc") / child / "cmdline")
    ]


def _children_of(pid: int) -> list[str]:
    return [
        status.parent.name
        for status in Path("/proc").glob("[0-9]*/status")
        if f"PPid:\t{pid}\n" in _text(status)
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
