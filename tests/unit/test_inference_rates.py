"""Pages a minute for each client."""

from __future__ import annotations

import pytest

from ocr_inference.errors import PublicError
from ocr_inference.reading.rates import PageRates


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refusal(rates: PageRates, client: str = "alice") -> PublicError:
    with pytest.raises(PublicError) as raised:
        rates.admit(client)
    assert (raised.value.status, raised.value.code) == (429, "rate_limited")
    return raised.value


def test_a_minutes_pages_may_come_at_once_and_then_at_the_rate() -> None:
    clock = Clock()
    rates = PageRates(30, clock)
    for _ in range(30):
        rates.admit("alice")
    assert refusal(rates).details["retry_after"] == 2
    clock.now += 2
    rates.admit("alice")
    refusal(rates)


def test_one_client_does_not_pay_for_another() -> None:
    rates = PageRates(1, Clock())
    rates.admit("alice")
    refusal(rates)
    rates.admit("bob")


def test_a_document_longer_than_a_minutes_pages_is_paid_for_by_waiting() -> None:
    clock = Clock()
    rates = PageRates(60, clock)
    rates.admit("alice")
    rates.charge("alice", 299)
    # 60 were there and 300 taken: 240 seconds of debt and one for the next page.
    assert refusal(rates).details["retry_after"] == 241
    clock.now += 240
    refusal(rates)
    clock.now += 1
    rates.admit("alice")


def test_nobody_saves_up_more_than_a_minute() -> None:
    clock = Clock()
    rates = PageRates(2, clock)
    rates.admit("alice")
    clock.now += 3600
    rates.admit("alice")
    rates.admit("alice")
    refusal(rates)


def test_zero_limits_nothing() -> None:
    rates = PageRates(0, Clock())
    for _ in range(1000):
        rates.admit("alice")
        rates.charge("alice", 1000)
