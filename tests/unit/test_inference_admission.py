"""How much may wait: pages and pixels, a share for each client, and when to come back."""

from __future__ import annotations

import pytest

from ocr_inference.auth import ANONYMOUS
from ocr_inference.errors import PublicError
from ocr_inference.reading.admission import Admission, Ticket


def admission_of(pages: int, pixels: int = 10**9) -> Admission:
    return Admission(pages, pixels)


def refused(ticket: Ticket, pages: int, pixels: int = 0) -> tuple[int, str]:
    with pytest.raises(PublicError) as error:
        ticket.cover(pages, pixels)
    return error.value.status, error.value.code


def test_pages_are_counted_and_given_back() -> None:
    admission = admission_of(10)
    first = admission.admit(ANONYMOUS)
    first.cover(6, 0)
    second = admission.admit(ANONYMOUS)
    assert admission.pages == 7
    assert refused(second, 5) == (503, "queue_full")
    second.release()
    first.page_done(0)
    assert admission.pages == 5
    for _ in range(5):
        first.page_done(0)
    assert admission.pages == 1  # its answer is still to be stored and sent
    first.release()
    first.page_done(0)  # of a page that ended after its request
    assert admission.pages == 0


def test_a_request_that_fails_gives_all_back() -> None:
    admission = admission_of(10)
    with pytest.raises(ValueError, match="of ours"), admission.admit(ANONYMOUS) as ticket:
        ticket.cover(6, 60)
        raise ValueError("a mistake of ours")
    assert (admission.pages, admission.pixels) == (0, 0)


def test_work_that_is_bounded_elsewhere_is_let_in_whatever_its_size() -> None:
    admission = Admission.unbounded()
    for client in ("one", "other"):
        admission.admit(client).cover(10**6, 10**15)
    assert (admission.pages, admission.pixels) == (2 * 10**6, 2 * 10**15)


def test_pixels_are_counted_and_given_back() -> None:
    admission = admission_of(10, pixels=100)
    first, second = admission.admit(ANONYMOUS), admission.admit(ANONYMOUS)
    first.cover(2, 80)
    assert refused(second, 1, 21) == (503, "queue_full")
    first.page_done(50)
    assert admission.pixels == 30
    second.cover(1, 70)
    first.release()
    second.release()
    assert (admission.pages, admission.pixels) == (0, 0)


def test_a_full_queue_takes_no_upload_either() -> None:
    admission = admission_of(1)
    admission.admit(ANONYMOUS)
    with pytest.raises(PublicError, match="at most 1"):
        admission.admit(ANONYMOUS)


def test_a_document_that_never_fits_is_told_so() -> None:
    ticket = admission_of(3, pixels=100).admit(ANONYMOUS)
    assert refused(ticket, 4) == (422, "too_many_pages")
    assert refused(ticket, 1, 101) == (422, "too_many_pixels")


def test_one_client_leaves_room_for_others() -> None:
    admission = admission_of(100)
    for _ in range(3):
        admission.admit("greedy").cover(25, 0)
    with pytest.raises(PublicError) as error:
        admission.admit("greedy")
    assert error.value.code == "queue_full"
    newcomer = admission.admit("newcomer")
    newcomer.cover(25, 0)
    assert admission.pages == 100
    assert refused(newcomer, 26) == (503, "queue_full")


def test_where_clients_have_no_names_all_of_the_queue_is_for_all() -> None:
    admission_of(100).admit(ANONYMOUS).cover(100, 0)


def test_retry_after_is_what_the_queue_will_take() -> None:
    readers = 1
    admission = Admission(100, 10**9, lambda: readers)
    admission.admit(ANONYMOUS).cover(20, 0)
    admission.note(2.0)
    assert 40 <= admission.retry_after() <= 50
    readers = 2
    assert 20 <= admission.retry_after() <= 25
    readers = 1
    for _ in range(50):
        admission.note(0.1)
    assert 2 <= admission.retry_after() <= 3
    admission.note(1e6)
    assert admission.retry_after() == 300
