"""The rhythm of who reports, and whether it fell silent: judged by its own breaks, never by a fixed number of days.

Google reports every day on which there is some traffic, Microsoft only on days on which it sent mail, others by the
week (field-notes-domains.md D-75). So the present break is held against the longest one that was seen before. If a
sender had traffic by chance, each day alike, its next break after n others would be longer than k times the longest of
them with a probability of about k! / ((n + 1) ... (n + k)). It is called

    silent    when its break is longer than k times the longest before, and than SHORTEST days; k is the smallest number
              from 2 on with which no more than one answer in a hundred (CHANCE) names a sender by such a chance: 3
              after 8 reported days, 2 from 15 on, more where many are looked at in one answer
    overdue   when it is longer than any before, and than half of that

A sender that was seen on fewer than ENOUGH_DAYS days is never called either.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

from msgspec import Struct

ReportingState = Literal["silent", "overdue", "reporting", "not-enough-seen"]
RhythmKind = Literal["daily", "working-days", "some-days", "weekly", "unknown"]

STATES: tuple[ReportingState, ...] = ("silent", "overdue", "reporting", "not-enough-seen")
ENOUGH_DAYS = 8  # reported days from which on a rhythm is told
CHANCE = 0.01  # of an answer that calls anyone silent whose breaks come by chance
SHORTEST = 3  # days that a silence lasts longer than: a weekend and a day
WEEK = 7
NEARLY_ALL = 0.9  # of the days: what is called daily
_DAY = timedelta(days=1)


class Rhythm(Struct, frozen=True, kw_only=True):
    """When a sender reports, and how long the present break is."""

    state: ReportingState
    kind: RhythmKind
    days: int  # with a report, in the days looked at
    span: int  # days from the first to the last of them
    longest: int  # days from one reported day to the next, at most; 1: no break, 0: not known
    limit: int  # of the present break, beyond which it is silent; 0: not told
    only_failures: bool  # in all its reports: where it leaves days out, too, it is never called silent
    gap: int  # days from the last reported day to the last one whose report should be here
    last_day: date
    expected: date  # the last day whose report should be here


def judge(
    days: Sequence[date],
    expected: date,
    *,
    weekly: bool = False,
    only_failures: bool = False,
    dark: Collection[date] = (),
    looked_at: int = 1,
) -> Rhythm:
    """Judge the reported days of one sender, in order and at least one.

    Args:
        expected: the last day whose report should be here by now, at this sender's usual lateness.
        weekly: its reports have windows of a week.
        only_failures: all its reports have some. Where it leaves days out, too, it may report nothing else, as mox
            does: then there may be nothing to say.
        dark: days on which nobody reported, which lengthen nobody's break; see `our_break`.
        looked_at: how many senders, or domains of one, are judged in the same answer.
    """
    breaks = [_break(before, after, dark) for before, after in pairwise(days)]
    longest = max(breaks, default=0)
    gap = max(0, (expected - days[-1]).days)
    enough = len(days) >= ENOUGH_DAYS
    limit = max(SHORTEST, factor(len(breaks), looked_at) * longest) if enough else 0
    state = _state(gap, longest, limit) if enough else "not-enough-seen"
    return Rhythm(
        state="not-enough-seen" if only_failures and longest > 1 and state != "reporting" else state,
        kind=_kind(days, breaks, weekly) if enough else "weekly" if weekly else "unknown",
        days=len(days),
        span=(days[-1] - days[0]).days + 1,
        longest=longest,
        limit=limit,
        only_failures=only_failures and enough,
        gap=gap,
        last_day=days[-1],
        expected=expected,
    )


def factor(breaks: int, looked_at: int) -> int:
    """How many times its longest break a sender may be away, after so many breaks, before it is called silent."""
    times, chance = 1, 1 / (breaks + 1)
    while times < 2 or chance * looked_at > CHANCE:
        times += 1
        chance *= times / (breaks + times)
    return times


def dark_runs(days: Collection[date], since: date, until: date) -> tuple[tuple[date, date], ...]:
    """First and last day of each run of days between `since` and `until` on which nobody reported."""
    runs: list[tuple[date, date]] = []
    before = since - _DAY
    for day in [*sorted(day for day in days if since <= day <= until), until + _DAY]:
        if (day - before).days > 1:
            runs.append((before + _DAY, day - _DAY))
        before = day
    return tuple(runs)


def our_break(days: Sequence[date]) -> frozenset[date]:
    """The days of the one break of everybody that is far longer than any other of theirs: it lengthens nobody's own.

    Args:
        days: on which anyone reported, in order.
    """
    breaks = sorted((after - before, before) for before, after in pairwise(days))
    if len(days) < ENOUGH_DAYS:
        return frozenset()
    (second, _), (longest, before) = breaks[-2:]
    if longest.days <= max(SHORTEST, factor(len(breaks) - 1, 1) * second.days):
        return frozenset()
    return frozenset(before + n * _DAY for n in range(1, longest.days))


def _state(gap: int, longest: int, limit: int) -> ReportingState:
    if gap > limit:
        return "silent"
    return "overdue" if gap > longest and 2 * gap > limit else "reporting"


def _break(before: date, after: date, dark: Collection[date]) -> int:
    length = (after - before).days
    if length == 1 or not dark:
        return length
    return max(1, length - sum(before + n * _DAY in dark for n in range(1, length)))


def _kind(days: Sequence[date], breaks: Sequence[int], weekly: bool) -> RhythmKind:
    if weekly or sum(length == WEEK for length in breaks) >= NEARLY_ALL * len(breaks):
        return "weekly"
    if len(days) >= NEARLY_ALL * (sum(breaks) + 1):
        return "daily"
    span = [days[0] + n * _DAY for n in range((days[-1] - days[0]).days + 1)]
    working = sum(day.weekday() < 5 for day in span)
    seen = sum(day.weekday() < 5 for day in days)
    if seen >= 0.8 * working and len(days) - seen <= 0.2 * (len(span) - working):
        return "working-days"
    return "some-days"
