"""Which documents a command line means, and where their outputs go."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from ocr_server import picture

from ocr_inference.command.document import DocumentError, DocumentReader
from ocr_inference.command.inputs import Input, find
from ocr_inference.command.places import PlaceTaken, check_writable, places, write
from ocr_inference.command.plan import PlannedFile, ReadArguments, Refused, plan
from ocr_inference.settings import Settings


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.png", "a.pdf", "sub/c.JPG", "sub/deep/no-extension", ".hidden/d.png", ".e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(picture())
    (tmp_path / "notes.txt").write_text("no document")
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path


def names(tree: Path, *arguments: str, leave_out: Path | None = None) -> list[str]:
    found = find([str(tree / argument) for argument in arguments], leave_out)
    return [str(document.path.relative_to(tree)) for document in found.inputs]


def test_a_folder_means_its_documents_by_content_or_extension(tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    found = find([str(tree)])
    below = [str(document.below) for document in found.inputs]
    assert below == ["a.pdf", "b.png", "sub/c.JPG", "sub/deep/no-extension"]
    assert found.skipped == 1
    assert found.missing == ()


def test_a_pattern_is_expanded_and_remembers_what_lies_below_it(tree: Path) -> None:
    found = find([str(tree / "**" / "*.[jJ][pP][gG]")])
    assert [str(document.below) for document in found.inputs] == ["sub/c.JPG"]


def test_a_document_that_is_named_twice_is_read_once(tree: Path) -> None:
    assert names(tree, "b.png", "", "sub/../b.png") == [
        "b.png",
        "a.pdf",
        "sub/c.JPG",
        "sub/deep/no-extension",
    ]


def test_a_file_is_taken_at_its_word_and_what_is_not_there_is_said(tree: Path) -> None:
    assert names(tree, "notes.txt") == ["notes.txt"]
    missing = (str(tree / "nothing.png"), str(tree / "*.gif"))
    assert find(missing).missing == missing


def test_a_file_whose_name_is_a_pattern_is_that_file(tree: Path) -> None:
    (tree / "page[1].png").write_bytes(picture())
    assert names(tree, "page[1].png") == ["page[1].png"]


def test_outputs_inside_the_folder_are_no_inputs(tree: Path) -> None:
    assert "sub/c.JPG" not in names(tree, "", leave_out=tree / "sub")
    # Beside the documents there is no telling; those that are inputs are not written over.
    assert "a.pdf" in names(tree, "", leave_out=tree)


def inputs(*below: str) -> list[Input]:
    return [Input(Path("in") / name, Path(name)) for name in below]


def test_outputs_lie_in_the_same_sub_folders() -> None:
    found = places(inputs("a.png", "sub/b.tiff"), Path("out"), ".txt")
    assert list(found.values()) == [Path("out/a.txt"), Path("out/sub/b.txt")]


def test_two_that_would_be_one_keep_their_whole_names() -> None:
    found = places(inputs("a.png", "a.jpg", "b.png"), Path("out"), ".txt")
    assert [place.name for place in found.values()] == ["a.png.txt", "a.jpg.txt", "b.txt"]


def test_an_input_is_never_written_over() -> None:
    found = places(inputs("a.pdf"), Path("in"), ".pdf")
    assert list(found.values()) == [Path("in/a.pdf.pdf")]
    with pytest.raises(PlaceTaken, match="is an input"):
        places(inputs("a.pdf", "a.pdf.pdf"), Path("in"), ".pdf")


def test_two_that_are_one_all_the_same_are_refused() -> None:
    same = [Input(Path(folder) / "a.png", Path("a.png")) for folder in ("one", "two")]
    with pytest.raises(PlaceTaken, match="would both be written"):
        places(same, Path("out"), ".txt")


def test_an_output_is_written_over_only_by_force(tmp_path: Path) -> None:
    place = tmp_path / "new" / "a.txt"
    write(place, b"one", force=False)
    with pytest.raises(PlaceTaken, match="--force"):
        write(place, b"two", force=False)
    assert place.read_bytes() == b"one"
    write(place, b"two", force=True)
    assert place.read_bytes() == b"two"
    assert list(place.parent.iterdir()) == [place]


def test_whether_a_folder_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "below")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "old").mkdir()
    check_writable(tmp_path / "old")
    assert list(tmp_path.iterdir()) == [tmp_path / "old"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file" / "below")


def test_what_is_missing_does_not_keep_the_others_from_being_read(tree: Path) -> None:
    found = plan(ReadArguments((str(tree / "b.png"), "none.png")), terminal=False)
    assert ([file.path.name for file in found.files], found.missing) == (["b.png"], ("none.png",))


def test_a_document_that_is_gone_meanwhile_is_told_in_words(tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    room: Any = None  # which it does not come to
    arguments = ReadArguments((str(gone),))
    reader = DocumentReader(arguments, Settings(), room, lambda _pages: None, lambda: None)
    done = asyncio.run(reader.read(PlannedFile(gone, None)))
    assert done.error == DocumentError(
        "unreadable_file", "The file cannot be read: No such file or directory."
    )
    assert [failure.error for failure in done.failures] == [done.error.message]


def test_outputs_that_are_there_are_refused_before_anything_is_read(tree: Path) -> None:
    out = tree / "out"
    out.mkdir()
    (out / "b.txt").touch()
    arguments = ReadArguments((str(tree / "a.pdf"), str(tree / "b.png")), to=out)
    with pytest.raises(Refused, match="--skip-existing"):
        plan(arguments, terminal=False)
    kept = plan(ReadArguments(arguments.names, to=out, skip_existing=True), terminal=False)
    assert [file.path.name for file in kept.files] == ["a.pdf"]
    assert kept.remarks == ("1 document was left out: read before.",)
    forced = plan(ReadArguments(arguments.names, to=out, force=True), terminal=False)
    assert len(forced.files) == 2


@pytest.mark.parametrize(
    ("output", "count", "terminal", "words"),
    [("pdf", 1, True, "terminal"), ("pdf", 2, False, "--to"), ("hocr", 2, False, "--to")],
)
def test_what_standard_output_cannot_hold_is_refused(
    tree: Path, output: str, count: int, terminal: bool, words: str
) -> None:
    files = tuple(str(tree / name) for name in ("a.pdf", "b.png")[:count])
    with pytest.raises(Refused, match=words):
        plan(ReadArguments(files, output=output), terminal=terminal)  # type: ignore[arg-type]


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no document"):
        plan(ReadArguments((str(tmp_path),)), terminal=False)
