"""How it stands: a period held against the one before it, and what needs someone. What a digest is written from.

Sessions are those of the UTC days asked for. Incidents are told as of today, since what came in since then may have
opened one or shown it mended. Reports come a day late or more, so a period ends on a day whose reports should be here;
a late one changes both periods alike, the one that was told last week as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal, cast

from msgspec import Struct, structs

from tlsrpt.core.owned import Owned
from tlsrpt.core.results import ConsequenceKind
from tlsrpt.insight.coverage import Coverage, SilentDomain, find_coverage
from tlsrpt.insight.hints import Hint as Hint
from tlsrpt.insight.hints import find_hints
from tlsrpt.insight.incident import CONSEQUENCES, Incident
from tlsrpt.insight.incidents import find_incidents
from tlsrpt.insight.rhythm import Rhythm
from tlsrpt.store.answers import By, Sessions, SummaryRow
from tlsrpt.store.figures import summary
from tlsrpt.store.sqlite import Store

Verdict = Literal["no-reports", "act", "nothing-to-do"]

SETTLED = timedelta(days=2)  # before today: the last day whose reports should be here
WEEK = timedelta(days=7)
STILL_TOLD = timedelta(days=30)  # an incident nobody could call over is told so long after it was seen last
MOST_PARTS = 14  # of the period, each with a bar of its own
_DAY = timedelta(days=1)


class Figures(Struct, frozen=True, kw_only=True):
    """Sessions that count, of a period."""

    domains: int = 0  # with a report
    senders: int = 0
    sessions: int = 0
    failed: int = 0
    as_sent: Sessions | None = None  # the plain sums; None where not known


class Part(Struct, frozen=True, kw_only=True):
    """A day of the period, or some days in a row."""

    first: date
    last: date
    sessions: int
    failed: int


class DomainFigures(Struct, frozen=True, kw_only=True):
    """One domain in both periods."""

    domain: str
    sessions: int
    failed: int
    sessions_before: int
    failed_before: int
    consequence: ConsequenceKind = "none"  # the worst of its open incidents
    incidents: tuple[str, ...] = ()  # open ones, the worst first


class SilentSender(Struct, frozen=True, kw_only=True):
    """A sender that fell silent, and why that is said."""

    sender: str
    last_day: date
    why: str


class Overview(Struct, frozen=True, kw_only=True):
    """A period, the one before it, and how it stands today."""

    since: date
    until: date
    before_since: date
    before_until: date
    today: date
    scope: tuple[str, ...] = ()  # domains, or patterns of domains, that it is about; () for all
    now: Figures
    before: Figures
    parts: tuple[Part, ...] = ()
    latest: date | None = None  # the last UTC day with a report, up to today
    signed: bool = False  # whether a submitter signed any report of the period
    open: tuple[Incident, ...] = ()  # open, or seen in the period and not known to be over; unmarked, the worst of
    # these days first: what was worse before and goes on by a session here and there comes later
    new: tuple[str, ...] = ()  # of these the ids of those that began in the period or since
    again: tuple[str, ...] = ()  # and of those that were over and came back
    unsure: tuple[Incident, ...] = ()  # seen before, and nobody can tell whether they go on; unmarked, the worst first
    over: tuple[Incident, ...] = ()  # quiet, seen last in these days or the week before, the latest first
    aside: int = 0  # to watch, or marked by a person
    domains: tuple[DomainFigures, ...] = ()  # that meet an open incident, the worst first
    ceased: tuple[SilentDomain, ...] = ()  # on which everyone fell silent, while others are reported on
    silent: tuple[SilentSender, ...] = ()
    advice: tuple[str, ...] = ()  # where it may be our own side that reports don't come
    ready: tuple[Hint, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether somebody has to act; without a report nothing is known, and nothing is called fine."""
        if not self.now.domains:
            return "no-reports"
        return "act" if self.open or self.ceased or self.advice else "nothing-to-do"

    @property
    def days(self) -> int:
        """How many the period has."""
        return (self.until - self.since).days + 1


def find_overview(store: Store, *, since: date, until: date, today: date, scope: Owned | None = None) -> Overview:
    """How it stands in the UTC days from `since` to `until`, both included, seen from `today`.

    Args:
        scope: report domains that it is about; None for all. A single one is looked for as policy domain, too.
    """
    scope = scope or Owned.any()
    length = until - since + _DAY
    before = since - length, since - _DAY
    now_rows = _rows(store, scope, since, until, ("domain", "sender"))
    before_rows = _rows(store, scope, *before, ("domain", "sender"))
    alone = _only(scope)
    found = overview(
        now_rows,
        before_rows,
        _rows(store, scope, since, until, ("domain", "day")),
        _incidents(store, scope, _told_since(since, until, today), today),
        since=since,
        until=until,
        today=today,
        scope=() if scope.everything else tuple(scope.patterns),
        latest=_latest(_rows(store, scope, before[0], today, ("domain",))),
        signed=summary(store, domain=alone, since=since, until=until, proven_only=True).totals.reports > 0,
    )
    found = structs.replace(found, ready=find_hints(store, until=until, owns=scope.owns, domain=alone))
    seen = find_coverage(store, since=since, until=until, today=today, domain=alone)
    ceased = tuple(one for one in seen.silent_domains if scope.owns(one.domain) and _is_news(one.rhythm, since))
    if alone is None and not scope.everything:  # of who reports on some of many domains no rhythm is known
        return structs.replace(found, ceased=ceased)
    silent = _silent(seen, since)
    news = silent or (seen.together is not None and seen.together.state == "silent")
    return structs.replace(found, ceased=ceased, silent=silent, advice=seen.advice if news else ())


def _silent(coverage: Coverage, since: date) -> tuple[SilentSender, ...]:
    """Who fell silent in the period or since."""
    return tuple(
        SilentSender(sender=one.sender, last_day=one.last_day, why=one.why)
        for one in coverage.senders
        if one.state == "silent" and not one.loop and _is_news(one.rhythm, since)
    )


def _is_news(rhythm: Rhythm, since: date) -> bool:
    """Whether a silence is told: it has outgrown its limit in the period or after, and not before."""
    return rhythm.last_day + _DAY * rhythm.limit >= since


def overview(
    now_rows: Sequence[SummaryRow],
    before_rows: Sequence[SummaryRow],
    day_rows: Sequence[SummaryRow],
    incidents: Sequence[Incident],
    *,
    since: date,
    until: date,
    today: date,
    scope: tuple[str, ...] = (),
    latest: date | None = None,
    signed: bool = False,
) -> Overview:
    """The overview from what the store has: rows by domain and sender of both periods, rows by domain and day."""
    length = until - since + _DAY
    before_since, before_until = since - length, since - _DAY
    going = [one for one in incidents if one.mark == "none" and one.state in ("open", "unknown")]
    needing = [one for one in going if one.state == "open" or one.last_seen >= since]
    needing.sort(key=lambda one: (CONSEQUENCES.index(one.consequence), -failed_within(one, since, today), one.id))
    over = [one for one in incidents if one.state == "quiet" and one.last_seen >= _over_since(since, until)]
    begun = [one for one in needing if _began(one) >= since]
    now, before = _by_domain(now_rows), _by_domain(before_rows)
    return Overview(
        since=since,
        until=until,
        before_since=before_since,
        before_until=before_until,
        today=today,
        scope=scope,
        now=_figures(now_rows),
        before=_figures(before_rows),
        parts=_parts(day_rows, since, until),
        latest=latest,
        signed=signed,
        open=tuple(needing),
        new=tuple(one.id for one in begun if not one.earlier),
        again=tuple(one.id for one in begun if one.earlier),
        unsure=tuple(one for one in going if one.state == "unknown" and one.last_seen < since),
        over=tuple(sorted(over, key=lambda one: (-one.last_seen.toordinal(), one.place, one.id))),
        aside=sum(one.state == "watch" or (one.mark != "none" and one.state != "quiet") for one in incidents),
        domains=_needing(needing, now, before),
    )


def _told_since(since: date, until: date, today: date) -> date:
    return min(_over_since(since, until), today - STILL_TOLD)


def _over_since(since: date, until: date) -> date:
    """From when on an incident was seen last whose end is still news: a period before, a week at least."""
    return min(since - (until - since) - _DAY, since - WEEK)


# --- Asking ----------------------------------------------------------------------------------------------------------


def _only(scope: Owned) -> str | None:
    """The one domain that is asked for, if it is one."""
    return next(iter(scope.exact)) if len(scope.exact) == 1 and not scope.below and not scope.everything else None


def _rows(store: Store, scope: Owned, since: date, until: date, by: tuple[By, ...]) -> list[SummaryRow]:
    one = _only(scope)
    rows = summary(store, domain=one, since=since, until=until, by=by).rows
    return [row for row in rows if one is not None or scope.owns(str(row.domain))]


def _incidents(store: Store, scope: Owned, since: date, today: date) -> list[Incident]:
    """Incidents as far as the domains meet them."""
    one = _only(scope)
    within = scope if one is None and not scope.everything else None
    return find_incidents(store, since=since, until=today, today=today, domain=one, scope=within)


def _latest(rows: Iterable[SummaryRow]) -> date | None:
    return max((row.last_day for row in rows), default=None)


# --- Adding up -------------------------------------------------------------------------------------------------------


class _Sum(Struct):
    """One domain's sums of one period."""

    sessions: int = 0
    failed: int = 0


def _by_domain(rows: Iterable[SummaryRow]) -> dict[str, _Sum]:
    found: dict[str, _Sum] = defaultdict(_Sum)
    for row in rows:
        one = found[str(row.domain)]
        one.sessions += int(row.successful or 0) + row.failed
        one.failed += row.failed
    return dict(found)


def _figures(rows: Sequence[SummaryRow]) -> Figures:
    sent = [row.as_sent for row in rows if isinstance(row.as_sent, Sessions)]
    return Figures(
        domains=len({row.domain for row in rows}),
        senders=len({row.sender for row in rows}),
        sessions=sum(int(row.successful or 0) + row.failed for row in rows),
        failed=sum(row.failed for row in rows),
        as_sent=Sessions(successful=sum(one.successful for one in sent), failed=sum(one.failed for one in sent)),
    )


def _parts(rows: Iterable[SummaryRow], since: date, until: date) -> tuple[Part, ...]:
    """The period in MOST_PARTS parts at most, each of as many days but for the last."""
    days = (until - since).days + 1
    each = -(-days // MOST_PARTS)
    sums = [[0, 0] for _ in range(-(-days // each))]
    for row in rows:
        of = sums[(cast(date, row.day) - since).days // each]
        of[0] += int(row.successful or 0) + row.failed
        of[1] += row.failed
    return tuple(
        Part(
            first=since + _DAY * each * n,
            last=min(until, since + _DAY * (each * (n + 1) - 1)),
            sessions=sessions,
            failed=failed,
        )
        for n, (sessions, failed) in enumerate(sums)
    )


def _began(incident: Incident) -> date:
    """When its present spell began."""
    ended = incident.earlier[-1][1] if incident.earlier else date.min
    spell = min((day for day, _ in incident.by_day if day > ended), default=incident.first_seen)
    return spell if incident.earlier else min(spell, incident.first_seen)


def failed_within(incident: Incident, since: date, until: date) -> int:
    """Its failed sessions of some UTC days, both ends included."""
    return sum(failed for day, failed in incident.by_day if since <= day <= until)


def _needing(
    incidents: Iterable[Incident], now: Mapping[str, _Sum], before: Mapping[str, _Sum]
) -> tuple[DomainFigures, ...]:
    ids: dict[str, list[str]] = defaultdict(list)
    worst: dict[str, ConsequenceKind] = {}
    for incident in incidents:
        for kind, domains in incident.effects:
            for domain in domains:
                ids[domain].append(incident.id)
                worst[domain] = min(kind, worst.get(domain, kind), key=CONSEQUENCES.index)
    found = [
        structs.replace(_both(domain, now, before), consequence=worst[domain], incidents=tuple(of))
        for domain, of in ids.items()
    ]
    return tuple(sorted(found, key=lambda one: (CONSEQUENCES.index(one.consequence), -one.failed, one.domain)))


def _both(domain: str, now: Mapping[str, _Sum], before: Mapping[str, _Sum]) -> DomainFigures:
    here, there = now.get(domain) or _Sum(), before.get(domain) or _Sum()
    return DomainFigures(
        domain=domain,
        sessions=here.sessions,
        failed=here.failed,
        sessions_before=there.sessions,
        failed_before=there.failed,
    )
