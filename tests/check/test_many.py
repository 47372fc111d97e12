"""Many checks side by side: results in order, a bound on what is under way, and errors as they are."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.check.many import run_in_order


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 8))
def test_results_come_in_the_order_of_the_questions(turns: list[int], at_once: int) -> None:
    """Whatever each takes, and never more than so many at once."""
    delivered: list[int] = []
    under_way = most = 0

    async def work(item: tuple[int, int]) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(item[1]):
            await asyncio.sleep(0)
        under_way -= 1
        return item[0]

    asyncio.run(run_in_order(enumerate(turns), work, delivered.append, at_once=at_once))
    assert delivered == list(range(len(turns)))
    assert most <= at_once


def test_a_slow_one_holds_others_back_within_bounds() -> None:
    """Memory is bounded: what waits behind a slow result is counted."""
    begun: list[int] = []

    async def run() -> None:
        release = asyncio.Event()

        async def work(number: int) -> int:
            begun.append(number)
            if number == 0:
                await release.wait()
            return number

        checks = asyncio.create_task(run_in_order(range(1000), work, lambda _: None, at_once=2))
        for _ in range(2000):
            await asyncio.sleep(0)
        assert len(begun) < 100
        release.set()
        await checks

    asyncio.run(run())
    assert len(begun) == 1000


def test_an_error_comes_out_as_it_is() -> None:
    """A closed pipe must end the command quietly, and so must not be wrapped."""

    def deliver(_: int) -> None:
        raise BrokenPipeError

    async def work(number: int) -> int:
        return number

    with pytest.raises(BrokenPipeError):
        asyncio.run(run_in_order(range(10), work, deliver, at_once=3))
