"""Failures and sessions day by day, from the tallies: what `insight` builds its answers on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, case, distinct, func, select

from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.figures import range_of, rows_of
from tlsrpt.store.rows import storable
from tlsrpt.store.schema import failure_kind, failure_tally, tally
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Beside, FailureRow, Span

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
                proven=proven == 1,
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
                proven,
            ) in rows
        ]


def rows_without_details(
    store: Store, *, domain: str | None, since: date, until: date, proven_only: bool = False
) -> list[FailureRow]:
    """Failed sessions that no failure row explains (R4-03), as failures of which nothing is said."""
    with store.reading() as db:
        rows = db.execute(not_itemised_each(domain is None, proven_only), range_of(domain, since, until))
        return [
            FailureRow(
                report_domain=report_domain,
                day=from_day(day),
                sender=sender,
                policy_type=policy_type,
                failed=failed,
                proven=proven == 1,
            )
            for report_domain, day, sender, policy_type, proven, failed in rows
        ]


def beside(store: Store, spans: Sequence[Span], *, today: date, proven_only: bool = False) -> list[list[Beside]]:
    """What each sender reported on some report domains in some UTC days, and whether later too, up to `today`.

    Returns:
        For each span the senders, by name. Figures are sessions that count.
    """
    found: list[list[Beside]] = []
    statement, until = by_sender_beside(proven_only), to_day(today)
    with store.reading() as db:
        for span in spans:
            domains = json.dumps([storable(domain) for domain in span.domains])
            values = {"domains": domains, "first": to_day(span.first), "last": to_day(span.last), "today": until}
            found.append(
                [
                    Beside(
                        sender=sender,
                        successful=total - failed,
                        failed=failed,
                        verified_sts=verified_sts,
                        verified_tlsa=verified_tlsa,
                        latest=from_day(latest),
                        later_days=later_days,
                    )
                    for sender, total, failed, verified_sts, verified_tlsa, latest, later_days in db.execute(
                        statement, values
                    )
                ]
            )
    return found


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
            f.proven,
        )
        .join_from(failure_tally, failure_kind, kind.id == f.kind_id)
        .where(*rows_of(failure_tally, each, proven_only), f.counted_failed > 0)
    )


@lru_cache(maxsize=4)
def not_itemised_each(each: bool, proven_only: bool) -> Query:
    """Failed sessions without details, by report domain, day, sender and policy type."""
    t = tally.c
    return select(t.report_domain, t.day, t.sender, t.policy_type, t.proven, t.not_itemised).where(
        *rows_of(tally, each, proven_only), t.not_itemised > 0
    )


@lru_cache(maxsize=2)
def by_sender_beside(proven_only: bool) -> Query:
    """Sessions by sender, of report domains in a JSON array, from one UTC day to another and later.

    One span at a time: SQLite sorts the rows of each for its groups, and many small sorts take half the time of one.
    """
    t = tally.c
    domain = func.json_each(bindparam("domains")).table_valued("value").c.value
    wanted = [t.domain == domain, t.report_domain == t.domain, t.counted_total > 0]
    if proven_only:
        wanted.append(t.proven == 1)
    within = t.day <= bindparam("last")
    return (
        select(
            t.sender,
            func.sum(case((within, t.counted_total), else_=0)),
            func.sum(case((within, t.counted_failed), else_=0)),
            func.sum(case((within & (t.policy_type == "sts"), t.sent_successful), else_=0)),
            func.sum(case((within & (t.policy_type == "tlsa"), t.sent_successful), else_=0)),
            func.max(t.day),
            func.count(distinct(case((~within, t.day)))),
        )
        .where(*wanted, t.day.between(bindparam("first"), bindparam("today")))
        .group_by(t.sender)
        .order_by(t.sender)
    )
