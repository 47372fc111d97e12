"""Failures and sessions day by day, from the tallies: what `insight` builds its answers on."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, exists, func, select

from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.figures import Days, rows_of
from tlsrpt.store.schema import domain as domain_table
from tlsrpt.store.schema import failure_kind, failure_tally, tally
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import FailureRow, SessionRow

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]


def failure_rows(store: Store, *, domain: str | None, since: date, until: date) -> list[FailureRow]:
    """Failures of the days asked for, by report domain, day, sender and kind, as `insight` groups them.

    `failed` is what counts (DESIGN promise 7): rows that a sender lists under `sts` and `tlsa` both come once. Sending
    addresses are not told apart here.
    """
    with store.reading() as db:
        rows = db.execute(failures_by_kind(domain, (to_day(since), to_day(until))))
        return [
            FailureRow(
                report_domain=row.report_domain,
                day=from_day(row.day),
                sender=row.sender,
                policy_type=row.policy_type,
                policy_mode=row.policy_mode,
                policy_domain=row.policy_domain,
                result_type=row.result_type,
                mx_host=row.receiving_mx_hostname,
                receiving_ip=row.receiving_ip,
                reason=row.failure_reason_code,
                failed=row.counted_failed,
            )
            for row in rows
        ]


def session_rows(store: Store, *, domain: str | None, since: date, until: date) -> list[SessionRow]:
    """Sessions that count, by report domain, day and sender, of each domain that had a failure in these days.

    `policy_type` is empty where a sender reported under several.
    """
    with store.reading() as db:
        rows = db.execute(sessions_beside_failures(domain, (to_day(since), to_day(until))))
        return [
            SessionRow(
                report_domain=row.report_domain,
                day=from_day(row.day),
                sender=row.sender,
                policy_type=row.policy_type if row.policy_types == 1 else "",
                successful=row.counted_total - row.counted_failed,
                failed=row.counted_failed,
            )
            for row in rows
        ]


def failures_by_kind(domain: str | None, days: Days) -> Query:
    """Failed sessions that count, by report domain, day, sender and kind: the rows of the tally as they stand."""
    f, kind = failure_tally.c, failure_kind.c
    wanted = rows_of(failure_tally, domain, days, each_domain=True)
    return (
        select(
            f.report_domain,
            f.day,
            f.sender,
            kind.policy_type,
            kind.policy_mode,
            kind.policy_domain,
            kind.result_type,
            kind.receiving_mx_hostname,
            kind.receiving_ip,
            kind.failure_reason_code,
            f.counted_failed,
        )
        .join_from(failure_tally, failure_kind, kind.id == f.kind_id)
        .where(*wanted, f.counted_failed > 0)
    )


def sessions_beside_failures(domain: str | None, days: Days) -> Query:
    """Sessions by report domain, day and sender; of all domains, those with a failed session on any of the days."""
    t, failed = tally.c, tally.alias("failed").c
    wanted = rows_of(tally, domain, days, each_domain=True)
    if domain is None:
        name = domain_table.c.report_domain
        had_failures = exists().where(failed.domain == name, failed.day.between(*days), failed.sent_failed > 0)
        wanted.append(t.domain.in_(select(name).where(had_failures)))
    return (
        select(
            t.report_domain,
            t.day,
            t.sender,
            func.min(t.policy_type).label("policy_type"),
            func.count().label("policy_types"),
            func.sum(t.counted_total).label("counted_total"),
            func.sum(t.counted_failed).label("counted_failed"),
        )
        .where(*wanted)
        .group_by(t.report_domain, t.day, t.sender)
    )
