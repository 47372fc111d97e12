"""Sessions and failures, answered from the tallies alone: as fast with millions of reports as with a few.

A question about one domain reads one range of each tally's key. A question about all of them reads the rows of
`EVERY_DOMAIN` where it can, else it walks through the table of domains, a range each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from sqlalchemy import ColumnElement, Select, distinct, func, select

from tlsrpt.store.answers import By, Failed, Sessions, Summary, SummaryRow, Totals
from tlsrpt.store.counting import EVERY_DOMAIN
from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.rows import storable
from tlsrpt.store.schema import domain as domain_table
from tlsrpt.store.schema import failure_kind, failure_tally, tally
from tlsrpt.store.sqlite import Store

_OF_FAILURE_ROWS = frozenset({"mx", "result"})


def summary(store: Store, *, domain: str | None, since: date, until: date, by: Sequence[By] = ()) -> Summary:
    """Sessions and failures of the UTC days from `since` to `until`, both included.

    Args:
        domain: matches the report domain or the policy domain (DESIGN promise 8); None for all.
        by: keys of the rows, in the order in which they are to be sorted.
    """
    days = to_day(since), to_day(until)
    by = tuple(dict.fromkeys(by))
    with store.reading() as db:
        total = db.execute(sessions_in_all(domain, days)).one()
        results = db.execute(failed_by(failure_kind.c.result_type, domain, days)).all()
        hosts = db.execute(failed_by(failure_kind.c.receiving_mx_hostname, domain, days)).all()
        rows: list[SummaryRow] = []
        if _OF_FAILURE_ROWS & set(by):
            rows += [_failure_row(by, row) for row in db.execute(failed_by_keys(by, domain, days))]
            rows += [_rest_row(by, row) for row in db.execute(not_itemised_by(by, domain, days))]
            rows.sort(key=lambda row: _sort_key(by, row))
        elif by:
            rows += [_session_row(by, row) for row in db.execute(sessions_by(by, domain, days))]
    return Summary(
        totals=Totals(
            reports=total.reports or 0,
            successful=(total.counted_total or 0) - (total.counted_failed or 0),
            failed=total.counted_failed or 0,
            as_sent=Sessions(successful=total.sent_successful or 0, failed=total.sent_failed or 0),
        ),
        rows=tuple(rows),
        senders=total.senders,
        first_day=None if total.first_day is None else from_day(total.first_day),
        last_day=None if total.last_day is None else from_day(total.last_day),
        results=tuple(Failed(name=row.name or None, failed=row.failed, as_sent=row.as_sent) for row in results),
        mx_hosts=tuple(Failed(name=row.name or None, failed=row.failed, as_sent=row.as_sent) for row in hosts),
        not_itemised=total.not_itemised or 0,
    )


Days = tuple[int, int]
if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]


def sessions_in_all(domain: str | None, days: Days) -> Query:
    """One row: all sessions about one domain, or about all."""
    t = tally.c
    return select(
        *_session_sums(),
        func.sum(t.reports).label("reports"),
        func.sum(t.not_itemised).label("not_itemised"),
        func.count(distinct(t.sender)).label("senders"),
        func.min(t.day).label("first_day"),
        func.max(t.day).label("last_day"),
    ).where(t.domain == (EVERY_DOMAIN if domain is None else storable(domain)), t.day.between(*days))


def sessions_by(by: Sequence[By], domain: str | None, days: Days) -> Query:
    """Sessions for each combination of keys, in their order."""
    t = tally.c
    wanted = rows_of(tally, domain, days, each_domain="domain" in by)
    keys = _keys(by, t)
    # A report stands once under a domain, but once under each of its policy types when these are told apart.
    reports = t.mentions if "policy" in by else t.reports
    return (
        select(
            *keys,
            *_session_sums(),
            func.sum(reports).label("reports"),
            func.count(distinct(t.sender)).label("senders"),
            func.min(t.day).label("first_day"),
            func.max(t.day).label("last_day"),
        )
        .where(*wanted)
        .group_by(*keys)
        .order_by(*keys)
    )


def not_itemised_by(by: Sequence[By], domain: str | None, days: Days) -> Query:
    """Failed sessions that no failure row explains, for each combination of the keys that sessions have."""
    t = tally.c
    wanted = rows_of(tally, domain, days, each_domain="domain" in by)
    keys = _keys([key for key in by if key not in _OF_FAILURE_ROWS], t)
    return (
        select(
            *keys,
            func.sum(t.not_itemised).label("failed"),
            func.count(distinct(t.sender)).label("senders"),
            func.min(t.day).label("first_day"),
            func.max(t.day).label("last_day"),
        )
        .where(*wanted, t.not_itemised > 0)
        .group_by(*keys)
        .having(func.sum(t.not_itemised) > 0)  # without keys an aggregate gives a row even for nothing
    )


def failed_by(name: ColumnElement[str], domain: str | None, days: Days) -> Query:
    """Failed sessions of failure rows by one of their kind's texts, worst first."""
    f = failure_tally.c
    wanted = rows_of(failure_tally, domain, days, each_domain=True)
    failed = func.sum(f.counted_failed).label("failed")
    return (
        select(name.label("name"), failed, func.sum(f.sent_failed).label("as_sent"))
        .join_from(failure_tally, failure_kind, failure_kind.c.id == f.kind_id)
        .where(*wanted)
        .group_by(name)
        .order_by(failed.desc(), name)
    )


def failed_by_keys(by: Sequence[By], domain: str | None, days: Days) -> Query:
    """Failed sessions of failure rows for each combination of keys."""
    f = failure_tally.c
    wanted = rows_of(failure_tally, domain, days, each_domain=True)
    keys = _keys(by, f)
    return (
        select(
            *keys,
            func.sum(f.counted_failed).label("failed"),
            func.sum(f.sent_failed).label("as_sent"),
            func.count(distinct(f.sender)).label("senders"),
            func.min(f.day).label("first_day"),
            func.max(f.day).label("last_day"),
        )
        .join_from(failure_tally, failure_kind, failure_kind.c.id == f.kind_id)
        .where(*wanted)
        .group_by(*keys)
    )


def _session_sums() -> list[ColumnElement[int]]:
    t = tally.c
    return [
        func.sum(t.counted_total).label("counted_total"),
        func.sum(t.counted_failed).label("counted_failed"),
        func.sum(t.sent_successful).label("sent_successful"),
        func.sum(t.sent_failed).label("sent_failed"),
    ]


def rows_of(table: Any, domain: str | None, days: Days, *, each_domain: bool) -> list[ColumnElement[bool]]:
    """Which rows of a tally a question is about: one domain's, or each domain's, or those of all together."""
    t = table.c
    if domain is not None:
        return [t.domain == storable(domain), t.day.between(*days)]
    if not each_domain:
        return [t.domain == EVERY_DOMAIN, t.day.between(*days)]
    # By a list of domains, not by a join: SQLite would rather scan the tally and look each row's domain up.
    return [t.domain.in_(select(domain_table.c.report_domain)), t.day.between(*days), t.report_domain == t.domain]


def _keys(by: Sequence[By], columns: Any) -> list[ColumnElement[Any]]:
    known: dict[By, Any] = {
        "domain": columns.report_domain,
        "day": columns.day,
        "sender": columns.sender,
        "policy": columns.policy_type if "policy_type" in columns else failure_kind.c.policy_type,
        "mx": failure_kind.c.receiving_mx_hostname,
        "result": failure_kind.c.result_type,
    }
    return [known[key].label(f"by_{key}") for key in by]


def _key_values(by: Sequence[By], row: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in by:
        value = getattr(row, f"by_{key}", None)
        if key == "day":
            value = from_day(row.by_day)
        elif key in ("policy", "mx", "result"):
            value = value or None
        values[key] = value
    return values


def _sort_key(by: Sequence[By], row: SummaryRow) -> tuple[Any, ...]:
    """Keys in order; among equal ones what no failure row explains comes last."""
    return (
        *((value is None, value or "") for key in by if (value := getattr(row, key)) is not UNSET),
        row.itemised is False,
    )


def _session_row(by: Sequence[By], row: Any) -> SummaryRow:
    as_sent = Sessions(successful=row.sent_successful, failed=row.sent_failed)
    one_type = "policy" in by
    return SummaryRow(
        **_key_values(by, row),
        reports=row.reports,
        successful=as_sent.successful if one_type else row.counted_total - row.counted_failed,
        failed=as_sent.failed if one_type else row.counted_failed,
        as_sent=as_sent,
        senders=row.senders,
        first_day=from_day(row.first_day),
        last_day=from_day(row.last_day),
    )


def _failure_row(by: Sequence[By], row: Any) -> SummaryRow:
    return SummaryRow(
        **_key_values(by, row),
        itemised=True,
        failed=row.as_sent if "policy" in by else row.failed,
        as_sent=UNSET,
        senders=row.senders,
        first_day=from_day(row.first_day),
        last_day=from_day(row.last_day),
    )


def _rest_row(by: Sequence[By], row: Any) -> SummaryRow:
    return SummaryRow(
        **_key_values(by, row),
        itemised=False,
        failed=row.failed,
        senders=row.senders,
        first_day=from_day(row.first_day),
        last_day=from_day(row.last_day),
    )
