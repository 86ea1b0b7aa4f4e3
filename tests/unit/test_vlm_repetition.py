"""When a model is taken to repeat itself, and when not."""

from __future__ import annotations

import pytest

from ocr_inference.vlm.repetition import repeated_from

STORY = [f"s{n}" for n in range(20)]


def test_a_phrase_that_goes_on_is_found_and_kept_once() -> None:
    phrase = ["of", "the", "cities"]
    tokens = STORY + phrase * 30
    kept = repeated_from(tokens)
    assert kept is not None
    assert tokens[:kept] == [*STORY, *phrase]


@pytest.mark.parametrize("unit", [1, 2, 7, 40, 128])
def test_units_up_to_a_paragraph_are_found(unit: int) -> None:
    words = [f"w{n}" for n in range(unit)]
    assert repeated_from(["begin", *words * 600]) == 1 + unit


def test_sixty_tokens_are_a_loop_and_fewer_are_not() -> None:
    assert repeated_from(["so"] * 59) is None
    assert repeated_from(["so"] * 60) == 1


def test_what_was_repeated_earlier_and_ended_is_no_loop() -> None:
    assert repeated_from(["so"] * 200 + STORY) is None


def test_long_text_is_no_loop() -> None:
    tokens = [f"{word}{n}" for n in range(200) for word in STORY]
    assert repeated_from(tokens) is None


def test_a_paragraph_needs_to_come_four_times() -> None:
    words = [f"w{n}" for n in range(100)]
    assert repeated_from(words * 3) is None
    assert repeated_from(words * 4) == 100


def test_empty_cells_and_dots_have_more_patience() -> None:
    row = ["<ecel>"] * 10 + ["<nl>"]
    assert repeated_from(row * 10, table=True) is None
    assert repeated_from(row * 10) is not None
    assert repeated_from(row * 60, table=True) == len(row)
    assert repeated_from(["Contents", *["."] * 150]) is None
    assert repeated_from(["Contents", *["."] * 500]) == 2
