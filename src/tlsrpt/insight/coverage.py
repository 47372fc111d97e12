"""Coverage: who reports on our domains, at what rhythm, how late, who fell silent, and what reports can't tell.

Only who sends mail to us can report, most of them never do, and those that do report sessions, a day later. So nothing
here says that mail is well: it says from whom we would have heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tlsrpt.insight.lateness import USUAL_DAYS_LATE, Lateness, Window, lateness, window
from tlsrpt.insight.rhythm import (
    ENOUGH_DAYS,
    NEARLY_ALL,
    SHORTEST,
    STATES,
    WEEK,
    ReportingState,
    Rhythm,
    dark_runs,
    judge,
    our_break,
)
from tlsrpt.store.domain_days import domain_count
from tlsrpt.store.senders import (
    DomainSenderDay,
    LatestReport,
    SenderDay,
    SenderDomainDay,
    days_of_quiet_domains,
    latest_reports,
    sender_days,
)
from tlsrpt.store.sqlite import Store

Proven = Literal["all", "some", "none"]

LOOK_BACK = timedelta(days=90)  # for the rhythm, however few days are asked for
NEWEST_DAYS, EACH_DAY = 14, 5  # of each sender: days and reports a day that are looked at, for lateness and names
MOST_LOOKED_AT = 60_000  # reports of the days on which those are looked for
TOGETHER = timedelta(days=3)  # who ceases within these days ceases at about the same time
CANT_TELL = (
    "Most senders never report, so silence about a sender says nothing about its mail.",
    "Sessions are counted, not messages: one message that is tried five times may be five sessions.",
    "A report speaks of mail that was sent to you, and comes a day late or more: nothing is known yet of today.",
)
_DAY = timedelta(days=1)


class SenderCoverage(Struct, frozen=True, kw_only=True):
    """One sender: figures of the days asked for, its rhythm from 90 days at least."""

    sender: str  # domain of the contact, else the organisation's name; "" where a report names neither
    organization_name: str | None  # as last sent
    contact_info: str | None
    state: ReportingState
    why: str  # a sentence on the state
    loop: bool  # one session a day and nothing else: the mail that brings its report (D-74)
    rhythm: Rhythm
    signed: Rhythm | None  # of its signed reports alone; None where none is signed
    window: Window
    lateness: Lateness | None  # None: not known
    proven: Proven  # of the reports, those that it signed (DKIM)
    first_day: date | None  # of those asked for; None: its reports are all older
    last_day: date
    days: int  # with a report, of those asked for
    reports: int
    successful: int
    failed: int


class SilentDomain(Struct, frozen=True, kw_only=True):
    """A domain on which nobody reports any more, while others are reported on."""

    domain: str
    rhythm: Rhythm  # of all its senders together
    senders: tuple[str, ...]  # that reported on it


class Coverage(Struct, frozen=True, kw_only=True):
    """Everyone who reports, silent ones first, and how it stands with all of them together."""

    since: date
    until: date
    senders: tuple[SenderCoverage, ...]
    together: Rhythm | None  # as if all were one sender; None: no report at all
    none_days: tuple[tuple[date, date], ...]  # runs of days without a report of anyone, up to the last expected one
    advice: tuple[str, ...]  # what to look at, where it may be our own side
    silent_domains: tuple[SilentDomain, ...] = ()  # where all are asked for, and somebody still reports on others
    cant_tell: tuple[str, ...] = CANT_TELL


class DomainCoverage(Struct, frozen=True, kw_only=True):
    """One sender on one domain."""

    domain: str
    state: ReportingState
    why: str
    loop: bool
    rhythm: Rhythm
    first_day: date | None
    last_day: date
    days: int
    reports: int
    successful: int
    failed: int


def find_coverage(
    store: Store, *, since: date, until: date, today: date, domain: str | None = None, sender: str | None = None
) -> Coverage:
    """Who reports in the UTC days from `since` to `until`, both included, seen from `today`.

    Args:
        domain: matches report domain and policy domain (DESIGN promise 8); None for all.
        sender: look at the reports of this one alone, which finds its lateness however seldom it reports.
    """
    rows = sender_days(store, domain=domain, since=look_back(since, until), until=until)
    days = days_to_look_at([row for row in rows if sender in (None, row.sender)])
    latest = latest_reports(store, domain=domain, days=days, sender=sender, each_day=EACH_DAY)
    found = coverage(rows, latest, since=since, until=until, today=today)
    if domain is not None or sender is not None or found.together is None or found.together.state == "silent":
        return found
    after = found.together.expected - _DAY * SHORTEST
    quiet = days_of_quiet_domains(store, since=look_back(since, until), after=after, until=until)
    return replace(found, silent_domains=tuple(silent_domains(quiet, found, domain_count(store))))


def look_back(since: date, until: date) -> date:
    """The first day of what rhythms are judged from."""
    return min(since, until - LOOK_BACK + _DAY) if until - date.min > LOOK_BACK else since


def days_to_look_at(rows: Iterable[SenderDay]) -> set[date]:
    """The newest days of each sender, the largest senders' first, as long as not too many reports stand on them."""
    reports: dict[date, int] = {}
    by_sender: dict[str, list[SenderDay]] = {}
    for row in rows:
        reports[row.day] = reports.get(row.day, 0) + row.reports
        by_sender.setdefault(row.sender, []).append(row)
    largest_first = sorted(by_sender.values(), key=lambda rows: -sum(row.reports for row in rows))
    days: set[date] = set()
    left = MOST_LOOKED_AT
    for n in range(NEWEST_DAYS):  # the newest day of everyone before the second one of anyone
        for of_sender in largest_first:
            day = of_sender[-1 - n].day if n < len(of_sender) else None
            if day is not None and day not in days and (not days or reports[day] <= left):
                left -= reports[day]
                days.add(day)
    return days


def coverage(
    rows: Sequence[SenderDay],
    latest: Sequence[LatestReport],
    *,
    since: date,
    until: date,
    today: date,
) -> Coverage:
    """Coverage from what the store has: days of each sender in order, and its newest reports."""
    if not rows:
        return Coverage(since=since, until=until, senders=(), together=None, none_days=(), advice=())
    reported = sorted({row.day for row in rows})
    by_sender = {sender: list(days) for sender, days in groupby(rows, key=lambda row: row.sender)}
    dark = our_break(reported) if len(by_sender) > 1 else frozenset()  # a single one can't be told from all
    newest: dict[str, list[LatestReport]] = {}
    for report in latest:
        newest.setdefault(report.sender, []).append(report)
    found = [
        _sender(days, _of_last_days(newest.get(sender, []), days), dark, (since, until, today), len(by_sender))
        for sender, days in by_sender.items()
    ]
    expected = max((one.rhythm.expected for one in found if one.state != "not-enough-seen"), default=None)
    expected = expected or expected_day(until, today, None, weekly=False)
    together = judge(reported, expected)
    return Coverage(
        since=since,
        until=until,
        senders=tuple(sorted(found, key=_rank)),
        together=together,
        none_days=dark_runs(reported, max(since, reported[0]), expected),
        advice=tuple(_advice(together, found)),
    )


def domains_of_sender(rows: Iterable[SenderDomainDay], whole: SenderCoverage, since: date) -> list[DomainCoverage]:
    """One sender on each of its domains, those on which it fell silent first; `whole` is what it does in all."""
    by_domain = {domain: list(days) for domain, days in groupby(rows, key=lambda row: row.domain)}
    found: list[DomainCoverage] = []
    for domain, days in by_domain.items():
        rhythm = judge(
            [row.day for row in days],
            whole.rhythm.expected,
            weekly=whole.window == "week",
            only_failures=all(row.failed >= row.reports for row in days),
            looked_at=len(by_domain),
        )
        asked = [row for row in days if row.day >= since]
        total, failed = sum(row.total for row in asked), sum(row.failed for row in asked)
        found.append(
            DomainCoverage(
                domain=domain,
                state=rhythm.state,
                why=_why(rhythm, None),
                loop=is_loop(days, rhythm),
                rhythm=rhythm,
                first_day=asked[0].day if asked else None,
                last_day=days[-1].day,
                days=len(asked),
                reports=sum(row.reports for row in asked),
                successful=total - failed,
                failed=failed,
            )
        )
    return sorted(found, key=lambda one: (one.loop, STATES.index(one.state), -one.failed, -one.successful, one.domain))


def silent_domains(rows: Iterable[DomainSenderDay], found: Coverage, looked_at: int) -> list[SilentDomain]:
    """The domains on which nobody reports any more by the rhythm of all their senders, the longest silent first.

    A record that is gone looks like this; so does a domain to which no mail is sent any more.
    """
    expected = {one.sender: one.rhythm.expected for one in found.senders}
    silent: list[SilentDomain] = []
    for domain, of_domain in groupby(rows, key=lambda row: row.domain):
        seen = list(of_domain)
        senders = {row.sender for row in seen}
        until = min((expected[one] for one in senders if one in expected), default=found.until)
        rhythm = judge(sorted({row.day for row in seen}), until, looked_at=looked_at)
        if rhythm.state == "silent":
            silent.append(SilentDomain(domain=domain, rhythm=rhythm, senders=tuple(sorted(senders))))
    return sorted(silent, key=lambda one: (-one.rhythm.gap, one.domain))


def expected_day(until: date, today: date, late: Lateness | None, *, weekly: bool) -> date:
    """The last day on which a window begins whose report should be here when `today` begins."""
    days_late = USUAL_DAYS_LATE if late is None else late.days
    return min(until, today - _DAY * ((WEEK if weekly else 1) + days_late))


def _sender(
    days: list[SenderDay],
    newest: list[LatestReport],
    dark: frozenset[date],
    period: tuple[date, date, date],
    looked_at: int,
) -> SenderCoverage:
    since, until, today = period
    late, kind = lateness(newest), window(newest)
    weekly = kind == "week"
    expected = expected_day(until, today, late, weekly=weekly)
    only_failures = all(row.failed >= row.reports for row in days) and all(report.failed for report in newest)

    def judged(some: list[SenderDay]) -> Rhythm:
        return judge(
            [row.day for row in some],
            expected,
            weekly=weekly,
            only_failures=only_failures,
            dark=dark,
            looked_at=looked_at,
        )

    rhythm = judged(days)
    proven_days = [row for row in days if row.proven]
    signed = judged(proven_days) if proven_days else None
    asked = [row for row in days if row.day >= since]
    total, failed = sum(row.total for row in asked), sum(row.failed for row in asked)
    loop = is_loop(days, rhythm)
    return SenderCoverage(
        sender=days[0].sender,
        organization_name=newest[0].organization_name if newest else None,
        contact_info=newest[0].contact_info if newest else None,
        state=rhythm.state,
        why=" ".join(_whole_why(rhythm, signed, late, loop)),
        loop=loop,
        rhythm=rhythm,
        signed=signed,
        window=kind,
        lateness=late,
        proven=_proven(days),
        first_day=asked[0].day if asked else None,
        last_day=days[-1].day,
        days=len(asked),
        reports=sum(row.reports for row in asked),
        successful=total - failed,
        failed=failed,
    )


def _of_last_days(newest: list[LatestReport], days: list[SenderDay]) -> list[LatestReport]:
    """Those of a sender's own last days: on days that others are looked up by, there may be older ones."""
    return [report for report in newest if report.day >= days[-NEWEST_DAYS:][0].day]


def is_loop(days: Sequence[SenderDay] | Sequence[SenderDomainDay], rhythm: Rhythm) -> bool:
    """Whether a sender's only traffic is one good session a report, day after day (D-74, F-52)."""
    return (
        len(days) >= ENOUGH_DAYS
        and len(days) >= NEARLY_ALL * rhythm.span
        and all(row.total == row.reports and not row.failed for row in days)
    )


def _proven(days: Sequence[SenderDay]) -> Proven:
    reports, proven = sum(row.reports for row in days), sum(row.proven for row in days)
    if not proven:
        return "none"
    return "all" if proven >= reports else "some"


def _rank(one: SenderCoverage) -> tuple[bool, int, int, int, str]:
    """Silent ones first; loops and who is hardly seen last; the largest first."""
    return one.loop, STATES.index(one.state), -one.failed, -one.successful, one.sender


# --- Sentences ------------------------------------------------------------------------------------------------------


def _whole_why(rhythm: Rhythm, signed: Rhythm | None, late: Lateness | None, loop: bool) -> Iterable[str]:
    yield _why(rhythm, late)
    if signed is not None and signed.state == "silent" and rhythm.state != "silent":
        yield (
            f"Its signed reports ceased after {signed.last_day}; those that still come are not signed: anybody could "
            "have made them up."
        )
    if loop:
        yield (
            "One session a report, day after day, and no other: most likely the mail that brings its report, which the "
            "next one reports. No traffic."
        )


def _why(rhythm: Rhythm, late: Lateness | None) -> str:
    if rhythm.state == "not-enough-seen" and rhythm.only_failures:
        return (
            f"Nothing after {rhythm.last_day}. It left days out and told of failures on all others: it may report only "
            "those, as some do, and have nothing to say."
        )
    if rhythm.state == "not-enough-seen":
        return f"Seen on {_days(rhythm.days)}; a rhythm is told from {ENOUGH_DAYS} on."
    if rhythm.state == "reporting":
        return f"Reported on {rhythm.days:,} of {_days(rhythm.span)}."
    said = (
        f"Nothing after {rhythm.last_day}: {_days(rhythm.gap)} up to {rhythm.expected}, the last that should be here."
    )
    if rhythm.state == "overdue":
        return f"{said} Longer than any break before ({_days(rhythm.longest)}), and may still be chance."
    said += f" Its longest break before was {_days(rhythm.longest)}."
    if rhythm.only_failures:
        said += " It told of failures on every day: it may report only those."
    if late is not None and late.longest_hours > 24 * late.days:
        said += f" They may yet come: one of its last {late.reports} came {late.longest_hours // 24} days late."
    return said


def _advice(together: Rhythm, found: Sequence[SenderCoverage]) -> Iterable[str]:
    """Whether it may be us, where several fell silent."""
    known = [one for one in found if one.state != "not-enough-seen"]
    away = [one for one in known if one.state in ("silent", "overdue")]
    last = [one.last_day for one in away]
    if together.state == "silent":
        yield (
            f"Nobody reported for {_days(together.gap)} up to {together.expected}. It is more likely us than all of "
            "them: is the record still there (tlsrpt record check DOMAIN), does mail to its address arrive, and is it "
            "taken in (tlsrpt health, tlsrpt quarantine list)?"
        )
    elif len(away) > 1 and 2 * len(away) >= len(known) and max(last) - min(last) <= TOGETHER:
        yield (
            f"{len(away)} of {len(known)} senders ceased at about the same time. Look at our own side first: "
            "tlsrpt record check DOMAIN, tlsrpt health, and the spam folder of the address in the record."
        )


def _days(count: int) -> str:
    return f"{count:,} day" if count == 1 else f"{count:,} days"
