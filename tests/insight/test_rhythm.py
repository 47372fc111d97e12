"""Whether a sender fell silent is judged by its own breaks."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsrpt.insight.rhythm import CHANCE, ENOUGH_DAYS, SHORTEST, Rhythm, dark_runs, factor, judge, our_break

DAY = date(2026, 3, 2)  # a Monday


def on(*days: int) -> list[date]:
    return [DAY + timedelta(days=n) for n in days]


def judged(days: Iterable[int], gap: int, **values: bool) -> Rhythm:
    """A sender seen on these days, and so many days later."""
    reported = on(*days)
    return judge(reported, reported[-1] + timedelta(days=gap), **values)


WORKING = [n for n in range(60) if n % 7 < 5]
SELDOM = [0, 9, 14, 26, 31, 40, 52, 60, 66]  # its longest break: 12 days, after 8 of them


@pytest.mark.parametrize(
    ("days", "gap", "state", "kind"),
    [
        pytest.param(range(90), 0, "reporting", "daily", id="Google, as every day"),
        pytest.param(range(90), 1, "reporting", "daily", id="one day is no break worth a word"),
        pytest.param(range(90), 3, "overdue", "daily", id="longer than ever"),
        pytest.param(range(90), 4, "silent", "daily", id="silent after a weekend and a day"),
        pytest.param(WORKING, 3, "reporting", "working-days", id="Microsoft to a company: a weekend"),
        pytest.param(WORKING, 5, "overdue", "working-days", id="a long weekend"),
        pytest.param(WORKING, 7, "silent", "working-days", id="more than two weekends' length"),
        pytest.param(range(0, 90, 7), 7, "reporting", "weekly", id="weekly windows: the next may come"),
        pytest.param(range(0, 90, 7), 22, "silent", "weekly", id="weekly windows: three are missing"),
        pytest.param(SELDOM, 12, "reporting", "some-days", id="as long as once before"),
        pytest.param(SELDOM, 36, "overdue", "some-days", id="three times that, after eight breaks only"),
        pytest.param(SELDOM, 37, "silent", "some-days", id="beyond doubt"),
        pytest.param(range(7), 80, "not-enough-seen", "unknown", id="seven days are no rhythm, whatever follows"),
        pytest.param([0], 80, "not-enough-seen", "unknown", id="one day"),
    ],
)
def test_silence_is_told_by_the_senders_own_breaks(days: Iterable[int], gap: int, state: str, kind: str) -> None:
    """D-75: what is silence for Google is a usual week for others."""
    rhythm = judged(days, gap)
    assert (rhythm.state, rhythm.kind) == (state, kind)


def test_who_reports_only_failures_is_never_called_silent() -> None:
    """mox by default: when nothing fails it says nothing. Who leaves no day out is no such sender for certain."""
    rhythm = judged(range(0, 90, 2), 60, only_failures=True)
    assert (rhythm.state, rhythm.only_failures) == ("not-enough-seen", True)
    assert judged(range(0, 90, 2), 0, only_failures=True).state == "reporting"
    assert judged(range(90), 60, only_failures=True).state == "silent"


def test_a_break_of_everybody_lengthens_nobodys() -> None:
    """Our mailbox was down for ten days: a daily sender stays a daily one."""
    days = on(*range(30), *range(40, 60))
    dark = our_break(days)
    expected = days[-1] + timedelta(days=5)
    assert judge(days, expected).state == "reporting"  # as far as one sender alone can tell
    assert (judge(days, expected, dark=dark).state, judge(days, expected, dark=dark).kind) == ("silent", "daily")


@pytest.mark.parametrize(
    "days",
    [
        pytest.param(range(0, 84, 7), id="by the week: six days without anyone are usual"),
        pytest.param(SELDOM, id="seldom"),
        pytest.param([*range(20), *range(30, 50), *range(58, 70)], id="two long ones: which is ours can't be told"),
        pytest.param([0, 30], id="hardly seen"),
        pytest.param([0], id="once"),
    ],
)
def test_usual_breaks_of_everybody_are_not_ours(days: Iterable[int]) -> None:
    assert our_break(on(*days)) == frozenset()


def test_dark_runs_are_the_days_on_which_nobody_reported() -> None:
    assert dark_runs(on(2, 3, 6), DAY, DAY + timedelta(days=8)) == (tuple(on(0, 1)), tuple(on(4, 5)), tuple(on(7, 8)))
    assert dark_runs(on(0, 1), DAY, DAY + timedelta(days=1)) == ()
    assert dark_runs([], DAY, DAY) == ((DAY, DAY),)


@pytest.mark.parametrize(
    ("breaks", "looked_at", "expected"), [(7, 1, 3), (14, 1, 2), (89, 1, 2), (7, 8, 6), (37, 2000, 5)]
)
def test_the_more_are_looked_at_the_longer_the_break_has_to_be(breaks: int, looked_at: int, expected: int) -> None:
    """The numbers of the handbook."""
    assert factor(breaks, looked_at) == expected


@pytest.mark.parametrize("senders", [1, 8])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_senders_with_traffic_by_chance_are_not_called_silent(share: float, senders: int) -> None:
    """The promise: where breaks come by chance, one answer in a hundred at most names somebody."""
    rng = random.Random(f"{share}/{senders}")
    answers = 3_000 // senders
    wrong = 0
    for _ in range(answers):
        each = [[n for n in range(90) if rng.random() < share] for _ in range(senders)]
        found = [judge(on(*days), on(89)[0], looked_at=senders).state for days in each if days]
        wrong += "silent" in found
    assert wrong <= CHANCE * answers


@given(
    days=st.sets(st.integers(0, 200), min_size=1, max_size=90).map(sorted),
    gap=st.integers(0, 300),
    looked_at=st.integers(1, 5_000),
)
def test_laws(days: list[int], gap: int, looked_at: int) -> None:
    """A longer break never makes a sender less silent; few days and short breaks never make one silent."""
    order = ["reporting", "overdue", "silent"]
    reported = on(*days)
    now = judge(reported, reported[-1] + timedelta(days=gap), looked_at=looked_at)
    later = judge(reported, reported[-1] + timedelta(days=gap + 1), looked_at=looked_at)
    if len(days) < ENOUGH_DAYS:
        assert now.state == later.state == "not-enough-seen"
    else:
        assert order.index(now.state) <= order.index(later.state)
        assert now.state != "silent" or gap > max(SHORTEST, 2 * now.longest)
