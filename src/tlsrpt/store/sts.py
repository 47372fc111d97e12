"""Sessions and failures under MTA-STS alone, as senders sent them: what a change of its policy is judged by.

As sent, not as counted (DESIGN promise 7): where a sender lists sessions under `tlsa` too, those under `sts` still are
all that it tried under MTA-STS. Entries of one report add up.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import Select, func, select

from tlsrpt.store.days import from_day
from tlsrpt.store.figures import range_of, rows_of
from tlsrpt.store.schema import failure_kind, failure_tally, tally
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import FailureRow

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

_STS = "sts"


class StsDay(Struct, frozen=True, kw_only=True, gc=False):
    """What one sender reported under MTA-STS for one UTC day."""

    sender: str
    day: date
    reports: int
    total: int  # sessions as sent
    failed: int


class StsSender(Struct, frozen=True, kw_only=True, gc=False):
    """What one sender reported under MTA-STS on one report domain, over some days."""

    domain: str
    sender: str
    days: int
    reports: int
    total: int
    failed: int
    last_day: date


def sts_days(store: Store, domain: str, *, since: date, until: date, proven_only: bool = False) -> list[StsDay]:
    """Each sender's days with sessions under MTA-STS, of one report or policy domain, by day and sender."""
    with store.reading() as db:
        return [
            StsDay(sender=sender, day=from_day(day), reports=reports, total=total, failed=failed)
            for sender, day, reports, total, failed in db.execute(
                days_under_sts(proven_only), range_of(domain, since, until)
            )
        ]


def sts_failures(store: Store, domain: str, *, since: date, until: date, proven_only: bool = False) -> list[FailureRow]:
    """Failures under MTA-STS of one report or policy domain, by day, sender and kind; `failed` is as sent."""
    with store.reading() as db:
        return [
            FailureRow(
                report_domain=row.report_domain,
                day=from_day(row.day),
                sender=row.sender,
                policy_type=_STS,
                policy_mode=row.policy_mode,
                policy_domain=row.policy_domain,
                result_type=row.result_type,
                mx_host=row.receiving_mx_hostname,
                receiving_ip=row.receiving_ip,
                reason=row.failure_reason_code,
                failed=row.sent_failed,
                proven=row.proven == 1,
            )
            for row in db.execute(kinds_under_sts(False, proven_only), range_of(domain, since, until))
        ]


def sts_senders(store: Store, *, domain: str | None, since: date, until: date) -> list[StsSender]:
    """Who reported under MTA-STS on one domain or on each report domain, by domain and sender."""
    with store.reading() as db:
        return [
            StsSender(
                domain=domain,
                sender=sender,
                days=days,
                reports=reports,
                total=total,
                failed=failed,
                last_day=from_day(last_day),
            )
            for domain, sender, days, reports, total, failed, last_day in db.execute(
                senders_under_sts(domain is None), range_of(domain, since, until)
            )
        ]


def failing_under_sts(
    store: Store, *, domain: str | None, since: date, until: date
) -> list[tuple[str, str, date, str, str, int]]:
    """Failures under MTA-STS of one domain or of each: domain, sender, day, result type, reason, sessions as sent."""
    query = kinds_under_sts(domain is None, False)
    with store.reading() as db:
        return [
            (row.domain, row.sender, from_day(row.day), row.result_type, row.failure_reason_code, row.sent_failed)
            for row in db.execute(query, range_of(domain, since, until))
        ]


@lru_cache(maxsize=2)
def days_under_sts(proven_only: bool) -> Query:
    """Sessions under MTA-STS by day and sender."""
    t = tally.c
    return (
        select(
            t.sender, t.day, func.sum(t.mentions), func.sum(t.sent_successful + t.sent_failed), func.sum(t.sent_failed)
        )
        .where(*rows_of(tally, False, proven_only), t.policy_type == _STS)
        .group_by(t.day, t.sender)
        .order_by(t.day, t.sender)
    )


@lru_cache(maxsize=2)
def senders_under_sts(each: bool) -> Query:
    """Sessions under MTA-STS by domain and sender."""
    t = tally.c
    by_day = (
        select(
            t.domain,
            t.sender,
            t.day,
            func.sum(t.mentions).label("reports"),
            func.sum(t.sent_successful + t.sent_failed).label("total"),
            func.sum(t.sent_failed).label("failed"),
        )
        .where(*rows_of(tally, each, False), t.policy_type == _STS)
        .group_by(t.domain, t.day, t.sender)
        .subquery()
        .c
    )
    return (
        select(
            by_day.domain,
            by_day.sender,
            func.count(),
            func.sum(by_day.reports),
            func.sum(by_day.total),
            func.sum(by_day.failed),
            func.max(by_day.day),
        )
        .where(by_day.total > 0)
        .group_by(by_day.domain, by_day.sender)
        .order_by(by_day.domain, by_day.sender)
    )


@lru_cache(maxsize=4)
def kinds_under_sts(each: bool, proven_only: bool) -> Query:
    """Rows of the failure tally that are of MTA-STS."""
    f, kind = failure_tally.c, failure_kind.c
    return (
        select(
            f.domain,
            f.report_domain,
            f.day,
            f.sender,
            kind.policy_mode,
            kind.policy_domain,
            kind.result_type,
            kind.receiving_mx_hostname,
            kind.receiving_ip,
            kind.failure_reason_code,
            f.sent_failed,
            f.proven,
        )
        .join_from(failure_tally, failure_kind, kind.id == f.kind_id)
        .where(*rows_of(failure_tally, each, proven_only), kind.policy_type == _STS, f.sent_failed > 0)
    )
