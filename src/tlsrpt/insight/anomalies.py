"""Days that stand out: more of a domain's sessions failed than on the same weekday before.

The test, one-sided. Of the day, n sessions, k of them failed; of the same weekday in the last WEEKS weeks, N and K.
Failures come in clumps (one message is tried again and again), so all four are divided by the clump size c: how much
more the failed sessions of the last WEEKS weeks varied from day to day than single ones would (Pearson's chi-squared
over its degrees of freedom, each weekday with a share of its own), and CLUMP at least. If nothing had changed, the
failed ones among the n/c would be beta-binomial with K/c + 1/2 and (N - K)/c + 1/2 (Jeffreys): the chance of k/c or
more of them, times the number of days of domains that were looked at (Bonferroni), is `chance`. The day stands out
where that is CHANCE at most: of a hundred answers about data in which nothing changes, one names a day. Simulations
hold that for failures that come singly, and in clumps of three sessions on average, some of them far larger.

Off for tiny counts and small changes: less than MIN_FAILED failed; less than MIN_DAYS such weekdays, or MIN_USUAL
sessions on them; a share of less than MIN_TIMES the usual one, or less than MIN_POINTS above it; less than MIN_TIMES as
many failed as on the worst of all days of those weeks. Senders whose windows last longer than a day are left out: their
day is a week.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import groupby
from math import exp, inf, lgamma, log

from msgspec import Struct

from tlsrpt.insight.coverage import EACH_DAY, days_to_look_at, look_back
from tlsrpt.insight.lateness import window
from tlsrpt.store.domain_days import (
    DomainDay,
    days_of_domain,
    days_of_domains,
    domain_count,
    failed_days,
    worst_of_domains,
)
from tlsrpt.store.senders import latest_reports, sender_days
from tlsrpt.store.sqlite import Store

WEEKS = 8
MIN_FAILED = 10
MIN_DAYS = 4
MIN_USUAL = 40
MIN_TIMES = 2
MIN_POINTS = 0.01
CLUMP = 6.0
CHANCE = 0.01
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


class Anomaly(Struct, frozen=True, kw_only=True):
    """A day on which more of a domain's sessions failed than usual."""

    domain: str
    day: date
    failed: int
    total: int
    proven_failed: int  # of the failed, in reports that their submitter signed
    usual_failed: int  # on the same weekday before
    usual_total: int
    weeks: int  # in which that was
    worst: int  # failed on any one day of the weeks before
    chance: float  # that an answer like this one names a day though nothing changed
    sentence: str

    @property
    def share(self) -> float:
        """Of the sessions of the day, those that failed."""
        return self.failed / self.total

    @property
    def usual_share(self) -> float:
        """The same of the weekday before."""
        return self.usual_failed / self.usual_total


def find_anomalies(
    store: Store,
    *,
    since: date,
    until: date,
    today: date,
    domain: str | None = None,
    proven_only: bool = False,
) -> list[Anomaly]:
    """The days from `since` to `until` that stand out, the least likely first. Today itself is never told of."""
    until = min(until, today - _DAY)
    if since > until:
        return []
    high = failed_days(
        store,
        domain=domain,
        since=since,
        until=until,
        at_least=MIN_FAILED,
        percent=round(100 * MIN_POINTS),
        proven_only=proven_only,
    )
    if not high:
        return []
    long = senders_with_long_windows(store, until, domain)
    first, days = since - WEEKS * _WEEK, (until - since).days + 1
    if domain is not None:
        rows = days_of_domain(store, domain, since=first, until=until, leave_out=long, proven_only=proven_only)
        return anomalies(rows, since, days)
    most = {name: max(row.failed for row in rows) for name, rows in groupby(high, key=lambda row: row.domain)}
    start, end = until - WEEKS * _WEEK, since - _DAY  # within the weeks before each of the days
    if start <= end:
        worst = worst_of_domains(store, list(most), since=start, until=end, leave_out=long, proven_only=proven_only)
        most = {name: failed for name, failed in most.items() if failed >= MIN_TIMES * worst.get(name, 0)}
    rows = days_of_domains(store, list(most), since=first, until=until, leave_out=long, proven_only=proven_only)
    return anomalies(rows, since, domain_count(store) * days)


def senders_with_long_windows(store: Store, until: date, domain: str | None) -> set[str]:
    """Those whose newest reports have windows of a week or the like."""
    days = days_to_look_at(sender_days(store, domain=domain, since=look_back(until, until), until=until))
    latest = latest_reports(store, domain=domain, days=days, each_day=EACH_DAY)
    by_sender = groupby(latest, key=lambda report: report.sender)
    return {sender for sender, reports in by_sender if window(list(reports)) in ("week", "other")}


def anomalies(rows: Iterable[DomainDay], since: date, looked_at: int) -> list[Anomaly]:
    """Those of the days from `since` on that stand out.

    Args:
        rows: days of domains, by domain, from WEEKS weeks before `since` on.
        looked_at: days of domains that were looked at, these among them.
    """
    found: list[Anomaly] = []
    for _, of_domain in groupby(rows, key=lambda row: row.domain):
        days = {row.day: row for row in of_domain}
        judged = (judge(row, days, looked_at) for row in days.values() if row.day >= since)
        found += [one for one in judged if one is not None]
    return sorted(found, key=lambda one: (one.chance, -one.failed, one.domain, one.day))


def judge(row: DomainDay, days: dict[date, DomainDay], looked_at: int) -> Anomaly | None:
    """One day against those before; None where it does not stand out."""
    if row.failed < MIN_FAILED:
        return None
    before = [days[day] for week in range(1, WEEKS + 1) if (day := row.day - week * _WEEK) in days]
    total, failed = sum(one.total for one in before), sum(one.failed for one in before)
    if len(before) < MIN_DAYS or total < MIN_USUAL:
        return None
    share, usual = row.failed / row.total, failed / total
    if share < MIN_TIMES * usual or share < usual + MIN_POINTS:
        return None
    every = [days[day] for n in range(1, 7 * WEEKS + 1) if (day := row.day - n * _DAY) in days]
    worst = max(one.failed for one in every)
    if row.failed < MIN_TIMES * worst:
        return None
    clump = max(CLUMP, dispersion(every))
    chance = looked_at * tail(
        int(row.failed / clump), round(row.total / clump), failed / clump + 0.5, (total - failed) / clump + 0.5
    )
    if chance > CHANCE:
        return None
    return Anomaly(
        domain=row.domain,
        day=row.day,
        failed=row.failed,
        total=row.total,
        proven_failed=row.proven_failed,
        usual_failed=failed,
        usual_total=total,
        weeks=len(before),
        worst=worst,
        chance=chance,
        sentence=_sentence(row, before, worst),
    )


def dispersion(days: Sequence[DomainDay]) -> float:
    """How much more failed sessions vary from day to day than single ones by chance: about 1 for those, 0 for none."""
    chi_squared, freedom = 0.0, 0
    for weekday in range(7):
        alike = [one for one in days if one.day.weekday() == weekday and one.total]
        total, failed = sum(one.total for one in alike), sum(one.failed for one in alike)
        if 0 < failed < total and len(alike) > 1:
            share = failed / total
            chi_squared += sum(
                (one.failed - one.total * share) ** 2 / (one.total * share * (1 - share)) for one in alike
            )
            freedom += len(alike) - 1
    return chi_squared / freedom if freedom else 0.0


def tail(least: int, number: int, alpha: float, beta: float) -> float:
    """The chance of `least` or more among `number`, beta-binomial."""
    if least <= 0:
        return 1.0
    if least > number:
        return 0.0

    def log_beta(a: float, b: float) -> float:
        return lgamma(a) + lgamma(b) - lgamma(a + b)

    ways = lgamma(number + 1) - lgamma(least + 1) - lgamma(number - least + 1)
    first = ways + log_beta(alpha + least, beta + number - least) - log_beta(alpha, beta)
    term, whole, at = 1.0, 1.0, least  # in units of the first one
    while at < number and term > 1e-12 * whole:
        term *= (number - at) / (at + 1) * (alpha + at) / (beta + number - at - 1)
        whole += term
        at += 1
    logarithm = first + log(whole)
    return exp(min(0.0, logarithm)) if logarithm > -inf else 0.0


def _sentence(row: DomainDay, before: Sequence[DomainDay], worst: int) -> str:
    total, failed = sum(one.total for one in before), sum(one.failed for one in before)
    usual = _percent(failed, total) if failed else "none"
    said = (
        f"{row.failed:,} of {row.total:,} sessions failed ({_percent(row.failed, row.total)}); on the {len(before)} "
        f"{row.day:%A}s before {usual}, and {worst:,} on the worst day of {WEEKS} weeks."
    )
    unsigned = not row.proven_failed and any(one.proven_total for one in before)
    return f"{said} None of it is in signed reports." if unsigned else said


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return "under 0.1 %" if 0 < share < 0.1 else f"{share:.1f} %"
