"""Sessions and failures, answered from the tallies alone: as fast with millions of reports as with a few.

A question about one domain reads one range of each tally's key. A question about all of them reads the rows of
`EVERY_DOMAIN` where it can, else it walks through the table of domains, a range each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from sqlalchemy import ColumnElement, Select, bindparam, distinct, func, select

from tlsrpt.store.answers import By, Failed, Sessions, Summary, SummaryRow, Totals
from tlsrpt.store.counting import EVERY_DOMAIN
from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.rows import storable
from tlsrpt.store.schema import domain as domain_table
from tlsrpt.store.schema import failure_kind, failure_tally, tally
from tlsrpt.store.sqlite import Store

_OF_FAILURE_ROWS = frozenset({"mx", "result"})
_KINDS_IN_MEMORY = 200  # statements: one for each combination of keys that is asked for

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]


def summary(
    store: Store,
    *,
    domain: str | None,
    since: date,
    until: date,
    by: Sequence[By] = (),
    proven_only: bool = False,
) -> Summary:
    """Sessions and failures of the UTC days from `since` to `until`, both included.

    Args:
        domain: matches the report domain or the policy domain (DESIGN promise 8); None for all.
        by: keys of the rows, in the order in which they are to be sorted.
        proven_only: leave out what nobody has signed for: what anyone could have made up.
    """
    by = tuple(dict.fromkeys(by))
    values = range_of(domain, since, until)
    each = domain is None
    with store.reading() as db:
        total = db.execute(sessions_in_all(proven_only), values).one()
        kinds = db.execute(failed_by_type_and_host(each, proven_only), values).all()
        rows: list[SummaryRow] = []
        if _OF_FAILURE_ROWS & set(by):
            rows += [_failure_row(by, row) for row in db.execute(failed_by_keys(by, each, proven_only), values)]
            rest = not_itemised_by(by, each and "domain" in by, proven_only)
            rows += [_rest_row(by, row) for row in db.execute(rest, values)]
            rows.sort(key=lambda row: _sort_key(by, row))
        elif by:
            query = sessions_by(by, each and "domain" in by, proven_only)
            rows += [_session_row(by, row) for row in db.execute(query, values)]
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
        results=_worst_first((result, failed, sent) for result, _, failed, sent in kinds),
        mx_hosts=_worst_first((mx, failed, sent) for _, mx, failed, sent in kinds),
        not_itemised=total.not_itemised or 0,
    )


def _worst_first(rows: Iterable[tuple[str, int, int]]) -> tuple[Failed, ...]:
    sums: dict[str, tuple[int, int]] = {}
    for name, failed, sent in rows:
        before = sums.get(name, (0, 0))
        sums[name] = before[0] + failed, before[1] + sent
    order = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple(Failed(name=name or None, failed=failed, as_sent=sent) for name, (failed, sent) in order)


def range_of(domain: str | None, since: date, until: date) -> dict[str, Any]:
    """What the statements below ask for: the name and the days of a question."""
    name = EVERY_DOMAIN if domain is None else storable(domain)
    return {"domain": name, "since": to_day(since), "until": to_day(until)}


@lru_cache(maxsize=2)
def sessions_in_all(proven_only: bool) -> Query:
    """One row: all sessions about one domain, or about all."""
    t = tally.c
    return select(
        *_session_sums(),
        func.sum(t.reports).label("reports"),
        func.sum(t.not_itemised).label("not_itemised"),
        *_seen(tally),
    ).where(*rows_of(tally, False, proven_only))


@lru_cache(maxsize=_KINDS_IN_MEMORY)
def sessions_by(by: tuple[By, ...], each: bool, proven_only: bool) -> Query:
    """Sessions for each combination of keys, in their order."""
    t = tally.c
    keys = _keys(by, tally, each)
    # A report stands once under a domain, but once under each of its policy types when these are told apart.
    reports = t.mentions if "policy" in by else t.reports
    return (
        select(*keys, *_session_sums(), func.sum(reports).label("reports"), *_seen(tally))
        .where(*rows_of(tally, each, proven_only))
        .group_by(*keys)
        .order_by(*keys)
    )


@lru_cache(maxsize=_KINDS_IN_MEMORY)
def not_itemised_by(by: tuple[By, ...], each: bool, proven_only: bool) -> Query:
    """Failed sessions that no failure row explains, for each combination of the keys that sessions have."""
    keys = _keys([key for key in by if key not in _OF_FAILURE_ROWS], tally, each)
    rest = func.sum(tally.c.not_itemised)
    return (
        select(*keys, rest.label("failed"), *_seen(tally))
        .where(*rows_of(tally, each, proven_only), tally.c.not_itemised > 0)
        .group_by(*keys)
        .having(rest > 0)  # without keys an aggregate gives a row even for nothing
    )


@lru_cache(maxsize=4)
def failed_by_type_and_host(each: bool, proven_only: bool) -> Query:
    """Failed sessions of failure rows by result type and MX host."""
    f, kind = failure_tally.c, failure_kind.c
    by_kind = (  # first by the number of the kind: fewer kinds than rows have to be looked up
        select(f.kind_id, func.sum(f.counted_failed).label("failed"), func.sum(f.sent_failed).label("as_sent"))
        .where(*rows_of(failure_tally, each, proven_only))
        .group_by(f.kind_id)
        .subquery()
    )
    keys = kind.result_type, kind.receiving_mx_hostname
    return (
        select(*keys, func.sum(by_kind.c.failed), func.sum(by_kind.c.as_sent))
        .join_from(by_kind, failure_kind, kind.id == by_kind.c.kind_id)
        .group_by(*keys)
    )


@lru_cache(maxsize=_KINDS_IN_MEMORY)
def failed_by_keys(by: tuple[By, ...], each: bool, proven_only: bool) -> Query:
    """Failed sessions of failure rows for each combination of keys."""
    f = failure_tally.c
    keys = _keys(by, failure_tally, each)
    return (
        select(
            *keys,
            func.sum(f.counted_failed).label("failed"),
            func.sum(f.sent_failed).label("as_sent"),
            *_seen(failure_tally),
        )
        .join_from(failure_tally, failure_kind, failure_kind.c.id == f.kind_id)
        .where(*rows_of(failure_tally, each, proven_only))
        .group_by(*keys)
    )


def rows_of(table: Any, each: bool, proven_only: bool) -> list[ColumnElement[bool]]:
    """Which rows of a tally a question is about: those of one name, or of each report domain; see `range_of`."""
    t = table.c
    wanted = [t.day.between(bindparam("since"), bindparam("until"))]
    if proven_only:
        wanted.append(t.proven == 1)
    if not each:
        return [t.domain == bindparam("domain"), *wanted]
    # By a list of domains, not by a join: SQLite would rather scan the tally and look each row's domain up.
    return [t.domain.in_(select(domain_table.c.report_domain)), *wanted, t.report_domain == t.domain]


def name_in(table: Any, each: bool) -> ColumnElement[str]:
    """The report domain of a row: where each domain is asked for `domain` is the same, and the key is in its order."""
    column: ColumnElement[str] = table.c.domain if each else table.c.report_domain
    return column


def _session_sums() -> list[ColumnElement[int]]:
    t = tally.c
    return [
        func.sum(t.counted_total).label("counted_total"),
        func.sum(t.counted_failed).label("counted_failed"),
        func.sum(t.sent_successful).label("sent_successful"),
        func.sum(t.sent_failed).label("sent_failed"),
    ]


def _seen(table: Any) -> list[ColumnElement[Any]]:
    """By how many senders, from when, until when."""
    t = table.c
    return [
        func.count(distinct(t.sender)).label("senders"),
        func.min(t.day).label("first_day"),
        func.max(t.day).label("last_day"),
    ]


def _keys(by: Sequence[By], table: Any, each: bool) -> list[ColumnElement[Any]]:
    columns = table.c
    known: dict[By, Any] = {
        "domain": name_in(table, each),
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
