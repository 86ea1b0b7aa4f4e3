import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocr_inference.errors import PublicError
from ocr_inference.pipeline.selection import select


@pytest.mark.parametrize(
    ("pages", "numbers"),
    [
        (None, (1, 2, 3, 4, 5, 6, 7, 8)),
        ("", (1, 2, 3, 4, 5, 6, 7, 8)),
        ("1-3,7", (1, 2, 3, 7)),
        ("7, 1 - 3", (1, 2, 3, 7)),
        ("5-", (5, 6, 7, 8)),
        ("2,2,1-2", (1, 2)),
        ("8", (8,)),
    ],
)
def test_pages_are_selected_in_order_and_once(pages: str | None, numbers: tuple[int, ...]) -> None:
    assert select(pages, 8, 100) == numbers


@pytest.mark.parametrize(
    "pages", ["0", "0-2", "3-1", "a", "1;2", "1,", "-3", "--", "1-2-3", "9", "9-", "1-999999999"]
)
def test_a_selection_that_cannot_be_meant_is_refused(pages: str) -> None:
    with pytest.raises(PublicError) as raised:
        select(pages, 8, 100)
    assert (raised.value.status, raised.value.code) == (422, "invalid_pages")


def test_too_many_pages_are_refused_and_never_cut_off() -> None:
    for pages in (None, "1-6", "3-", "1,3,5,7,8,2"):
        with pytest.raises(PublicError) as raised:
            select(pages, 8, 5)
        assert (raised.value.status, raised.value.code) == (422, "too_many_pages")
    assert select("4-8", 8, 5) == (4, 5, 6, 7, 8)


def test_a_page_past_where_counting_stopped_is_too_many_not_missing() -> None:
    with pytest.raises(PublicError) as raised:
        select("900", 6, 5)
    assert raised.value.code == "too_many_pages"


@given(st.text(max_size=40) | st.text(alphabet="0123456789-, ", max_size=40))
def test_any_text_is_a_selection_or_a_422(pages: str) -> None:
    try:
        numbers = select(pages, 30, 20)
    except PublicError as error:
        assert error.status == 422
    else:
        assert list(numbers) == sorted(set(numbers))
        assert 1 <= len(numbers) <= 20
        assert numbers[-1] <= 30
