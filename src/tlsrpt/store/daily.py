"""Failures and sessions day by day, from the tallies: what `insight` builds its answers on."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, exists, func, select

from tlsrpt.store.days import from_day
from tlsrpt.store.figures import name_in, range_of, rows_of
from tlsrpt.store.schema import domain as domain_table
from tlsrpt.store.schema import failure_kind, failure_tally, tally
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import FailureRow, SessionRow

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]


def failure_rows(
    store: Store, *, domain: str | None, since: date, until: date, proven_only: bool = False
) -> list[FailureRow]:
    """Failures of the UTC days from `since` to `until`, by report domain, day, sender and kind.

    `failed` is what counts (DESIGN promise 7): rows that a sender lists under `sts` and `tlsa` both come once. Where a
    sender signed some of its reports and others not, each sum comes in two rows; `proven_only` leaves the latter out.
    """
    with store.reading() as db:
        rows = db.execute(failures_by_kind(domain is None, proven_only), range_of(domain, since, until))
        return [
            FailureRow(
                report_domain=report_domain,
                day=from_day(day),
                sender=sender,
                policy_type=policy_type,
                policy_mode=policy_mode,
                policy_domain=policy_domain,
                result_type=result_type,
                mx_host=mx_host,
                receiving_ip=receiving_ip,
                reason=reason,
                failed=failed,
            )
            for (
                report_domain,
                day,
                sender,
                policy_type,
                policy_mode,
                policy_domain,
                result_type,
                mx_host,
                receiving_ip,
                reason,
                failed,
            ) in rows
        ]


def session_rows(
    store: Store, *, domain: str | None, since: date, until: date, proven_only: bool = False
) -> list[SessionRow]:
    """Sessions that count, by report domain, day and sender; of all domains, those that had a failure in these days.

    `policy_type` is empty where a sender reported under several.
    """
    with store.reading() as db:
        rows = db.execute(sessions_beside_failures(domain is None, proven_only), range_of(domain, since, until))
        return [
            SessionRow(
                report_domain=report_domain,
                day=from_day(day),
                sender=sender,
                policy_type=policy_type if policy_type == last_policy_type else "",
                successful=total - failed,
                failed=failed,
            )
            for report_domain, day, sender, policy_type, last_policy_type, total, failed in rows
        ]


@lru_cache(maxsize=4)
def failures_by_kind(each: bool, proven_only: bool) -> Query:
    """Failed sessions that count, by report domain, day, sender and kind: the rows of the tally as they stand."""
    f, kind = failure_tally.c, failure_kind.c
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
        .where(*rows_of(failure_tally, each, proven_only), f.counted_failed > 0)
    )


@lru_cache(maxsize=4)
def sessions_beside_failures(each: bool, proven_only: bool) -> Query:
    """Sessions by report domain, day and sender; of all domains, those with a failed session on any of the days."""
    t, failed = tally.c, tally.alias("failed").c
    wanted = rows_of(tally, each, proven_only)
    if each:
        name = domain_table.c.report_domain
        some = [failed.domain == name, failed.day.between(bindparam("since"), bindparam("until"))]
        some += [failed.sent_failed > 0, *([failed.proven == 1] if proven_only else [])]
        wanted.append(t.domain.in_(select(name).where(exists().where(*some))))
    # Grouped in the order of the key where the question allows it: nothing has to be sorted then.
    keys = [t.domain, t.day, t.sender] if each else [t.report_domain, t.day, t.sender]
    return (
        select(
            name_in(tally, each),
            t.day,
            t.sender,
            func.min(t.policy_type),
            func.max(t.policy_type),
            func.sum(t.counted_total),
            func.sum(t.counted_failed),
        )
        .where(*wanted)
        .group_by(*keys)
    )
