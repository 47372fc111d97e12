"""Whether an incident goes on: open, to watch, quiet, or not to be known; and the spells in which it was seen.

Judged by UTC days of the senders that saw it, since reports come a day late and some later (F-51): that the newest
report tells of it does not say that it is so now, and silence does not say that it is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from tlsrpt.core.causes import Cause
from tlsrpt.insight.grouping import Group
from tlsrpt.insight.incident import State
from tlsrpt.insight.wording import names
from tlsrpt.store.values import Beside

NOISE_SESSIONS = 3  # D-73: fewer failed sessions than this, or less than NOISE_SHARE of all, may be nobody's fault
NOISE_SHARE = 0.01
LATE = timedelta(days=3)  # until then "no longer seen" can't be told
CLEAN_DAYS = 2  # reported days of a sender without the failure, before it counts as seeing it no more
SPELL = timedelta(days=14)  # without it between two days: it went away and came back
PASSING = {"sts-policy-fetch-error", "validation-failure", "starttls-not-supported"}


def judge(
    group: Group, cause: Cause | None, weights: Counter[str], around: Iterable[Beside], total: int, today: date
) -> tuple[State, str]:
    """The state, and why, in a sentence.

    Args:
        weights: failed sessions of each sender that sees it.
        around: what senders reported in its days and later.
        total: sessions of the senders that see it.
        today: the UTC day to judge from.
    """
    last = max(row.day for row in group.all_rows)
    seeing = [each for each in around if each.sender in weights]
    clean = [each for each in seeing if each.later_days >= CLEAN_DAYS]
    if clean and 2 * sum(weights[each.sender] for each in clean) >= weights.total():
        most = max(clean, key=lambda each: (each.later_days, each.sender))
        waiting = [
            sender for sender in sorted(weights) if sender not in {each.sender for each in seeing if each.later_days}
        ]
        more = f"; {names(waiting)} has not reported since" if len(waiting) == 1 else ""
        more = f"; {names(waiting)} have not reported since" if len(waiting) > 1 else more
        return "quiet", (
            f"{names([most.sender])} reported {most.later_days} later days without it, up to {most.latest}{more}."
        )
    if is_noise(group, cause, total):
        return "watch", "One sender, one day, few sessions: such failures often pass by themselves. Wait for the next."
    later = [each for each in seeing if each.later_days]
    until = max((each.latest for each in later), default=last)
    if today - until <= LATE:
        if not later:
            return (
                "open",
                f"Last reported for {last}; later days are not reported yet, so nobody can tell if it is over.",
            )
        seen = names([each.sender for each in later], 2)
        return "open", f"Last reported for {last}; {seen} reported a later day without it, and {CLEAN_DAYS} are needed."
    if not later:
        return "unknown", f"No later report from the senders that saw it: nobody can tell since {last}."
    return "unknown", f"One later day without it, up to {until}, and no report since: too little to call it over."


def is_noise(group: Group, cause: Cause | None, total: int) -> bool:
    """D-73: one sender, one day, few sessions or a small share, and a kind of failure that often passes."""
    rows = group.all_rows
    if len({(row.sender, row.day) for row in rows}) > 1:
        return False
    passing = group.cause.passing if group.cause else group.fault in PASSING
    failed = sum(row.failed for row in rows)
    return passing and (failed < NOISE_SESSIONS or failed < NOISE_SHARE * total)


def spells(days: Sequence[date]) -> list[tuple[date, date]]:
    """The spells in which it was seen, from sorted days: first and last day of each."""
    found: list[tuple[date, date]] = []
    for day in days:
        if found and day - found[-1][1] <= SPELL:
            found[-1] = found[-1][0], day
        else:
            found.append((day, day))
    return found
