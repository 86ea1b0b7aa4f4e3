import math

import numpy as np
import pytest

from ocr_inference.pipeline.order import blocks_in_order
from ocr_inference.pipeline.page import Line

HEIGHT, PITCH = 20.0, 30.0
WORDS = "the quick brown fox jumps over it"


def line(text: str, left: float, top: float, width: float = 500, height: float = HEIGHT) -> Line:
    right, bottom = left + width, top + height
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Line(text, (left, top, right, bottom), 0.9, corners)


def turned(lines: list[Line], degrees: float) -> list[Line]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    result = []
    for one in lines:
        corners = tuple((x * cos - y * sin, x * sin + y * cos) for x, y in one.polygon)
        across, down = [x for x, _ in corners], [y for _, y in corners]
        box = (min(across), min(down), max(across), max(down))
        result.append(Line(one.text, box, 0.9, corners))
    return result


def shuffled(lines: list[Line]) -> list[Line]:
    return [lines[n] for n in np.random.default_rng(7).permutation(len(lines))]


def texts(lines: list[Line]) -> list[str]:
    return [block.text for block in blocks_in_order(lines)]


def prose(name: str, left: float, top: float, rows: int, width: float = 500) -> list[Line]:
    return [line(f"{name}{row}", left, top + PITCH * row, width) for row in range(rows)]


def test_nothing_is_no_blocks() -> None:
    assert blocks_in_order([]) == ()


@pytest.mark.parametrize("degrees", [0, 1.5, 5, -5])
def test_lines_are_read_downwards_even_on_a_slanted_page(degrees: float) -> None:
    lines = prose("a", 100, 100, 12, width=900)
    expected = "\n".join(one.text for one in lines)
    assert texts(shuffled(turned(lines, degrees))) == [expected]


@pytest.mark.parametrize("degrees", [0, 3, -3])
def test_columns_of_prose_are_read_one_after_the_other(degrees: float) -> None:
    title = [line("Title", 100, 20, 1050)]
    left, right = prose("l", 100, 100, 8), prose("r", 650, 108, 7)
    below = prose("b", 100, 400, 3, width=1050)
    read = "\n".join(texts(shuffled(turned([*title, *left, *right, *below], degrees)))).split()
    assert read == [one.text for one in [*title, *left, *right, *below]]


def test_three_columns_are_read_one_after_the_other() -> None:
    lines = [*prose("a", 0, 0, 6), *prose("b", 540, 5, 6), *prose("c", 1080, 9, 6)]
    assert "\n".join(texts(shuffled(lines))).split() == [one.text for one in lines]


def test_a_table_is_read_row_by_row() -> None:
    rows = [("Item", "Days", "Amount"), ("Recording", "6", "2,460.00"), ("Report", "3", "1,440.00")]
    rows += [("Travel", "1", "186.50"), ("Total", "10", "4,086.50")]
    lines = [
        line(cell, left, 30.0 * number, width)
        for number, row in enumerate(rows)
        for cell, left, width in zip(row, (0, 500, 900), (140, 40, 110), strict=True)
    ]
    assert texts(shuffled(lines)) == ["\n".join(" ".join(row) for row in rows)]


def test_a_line_broken_by_the_detector_is_one_row_of_several_lines() -> None:
    pieces = [line("first", 100, 100, 200), line("second", 320, 103, 200), line("next", 100, 130)]
    (block,) = blocks_in_order(shuffled(pieces))
    assert block.text == "first second\nnext"
    assert [piece.text for piece in block.lines] == ["first", "second", "next"]
    assert block.bbox == (100, 100, 600, 150)


def test_a_wider_gap_and_a_larger_size_begin_a_block() -> None:
    heading = [line("Heading", 0, 0, 300, 34)]
    first, second = prose("a", 0, 50, 4), prose("b", 0, 50 + 4 * PITCH + 20, 4)
    assert texts(shuffled([*heading, *first, *second])) == [
        "Heading",
        "a0\na1\na2\na3",
        "b0\nb1\nb2\nb3",
    ]


def test_every_line_is_read_exactly_once_wherever_it_is() -> None:
    chance = np.random.default_rng(3)
    for _ in range(50):
        lines = [
            line(str(n), chance.uniform(0, 900), chance.uniform(0, 900), chance.uniform(10, 600))
            for n in range(chance.integers(1, 40))
        ]
        lines = turned(lines, chance.uniform(-20, 20))
        read = [one.text for block in blocks_in_order(lines) for one in block.lines]
        assert sorted(read) == sorted(one.text for one in lines)
