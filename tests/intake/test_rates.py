"""What may come a minute, and what may be in work at once."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.config import ReceiveConfig
from tlsrpt.core.errors import OverloadError, RateError
from tlsrpt.intake.rates import MOST_KEYS, Rates, client_key
from tlsrpt.intake.room import Room


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_measure_may_come_at_once_and_is_there_again_after_a_minute() -> None:
    clock = Clock()
    rates = Rates(60, clock, of="address")
    for _ in range(60):
        rates.count("192.0.2.1")
    with pytest.raises(OverloadError, match="more than 60 a minute from one address") as caught:
        rates.count("192.0.2.1")
    assert caught.value.retry_after_s == 2
    rates.count("192.0.2.2")  # another is not held up by it
    clock.now += 60
    for _ in range(60):
        rates.count("192.0.2.1")


@given(st.lists(st.floats(0, 30), max_size=200), st.integers(1, 50))
def test_over_any_stretch_no_more_is_let_in_than_two_measures_a_minute(pauses: list[float], most: int) -> None:
    clock = Clock()
    rates = Rates(most, clock, of="address")
    let_in: list[float] = []
    for pause in pauses:
        clock.now += pause
        with suppress(OverloadError):
            rates.count("a")
            let_in.append(clock.now)
    for start in let_in:
        assert sum(start <= at < start + 60 for at in let_in) <= 2 * most


def test_what_brings_more_than_a_minutes_measure_at_once_is_let_in_all_the_same() -> None:
    """It could never come otherwise. It is owed for, for a minute at most."""
    clock = Clock()
    rates = Rates(60, clock, of="submitter")
    rates.count_all(["a"] * 100_000 + ["b"])
    with pytest.raises(RateError) as caught:
        rates.count_all(["b", "a"])
    assert caught.value.retry_after_s == 62
    for _ in range(59):
        rates.count("b")  # nothing was counted where not all could be
    clock.now += 62
    rates.count("a")


def test_none_is_no_limit_and_a_flood_of_addresses_costs_bounded_memory() -> None:
    Rates(0, Clock(), of="address").count("a")
    rates = Rates(1, Clock(), of="address")
    for n in range(MOST_KEYS + 100):
        rates.count(str(n))
    assert len(rates._left) == MOST_KEYS


def test_past_its_bounds_the_room_takes_no_more_until_somebody_leaves() -> None:
    room = Room(ReceiveConfig(waiting_documents=2, waiting_bytes=1024 * 1024))
    with room.place(1024 * 1024 - 10):
        with room.place() as second:
            second.grow(10)
            with pytest.raises(OverloadError, match="bytes are in work"):
                second.grow(1)
            with pytest.raises(OverloadError, match="2 documents are in work"):
                room.place()
        with pytest.raises(OverloadError, match="bytes are in work"):
            room.place(11)
        with room.place(10):
            pass
    assert (room.documents, room.bytes) == (0, 0)


def test_a_document_alone_has_room_whatever_its_size() -> None:
    """Or a report larger than the bound could never be taken, however often it comes."""
    room = Room(ReceiveConfig(waiting_documents=2, waiting_bytes=1024 * 1024))
    with room.place(5 * 1024 * 1024) as place:
        place.grow(5 * 1024 * 1024)
    assert (room.documents, room.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_a_customers_network_counts_as_one_client(address: str, key: str) -> None:
    """Who holds an IPv6 network has 2^64 addresses to come from."""
    assert client_key(address) == key
