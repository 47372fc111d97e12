"""Sessions of each report domain day by day: what a day is held against others of its kind by.

A sender whose windows last a week puts all of it on the day on which they begin: such senders can be left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, bindparam, case, func, select

from tlsrpt.store import schema
from tlsrpt.store.days import from_day, to_day
from tlsrpt.store.figures import range_of, rows_of
from tlsrpt.store.rows import storable
from tlsrpt.store.schema import tally
from tlsrpt.store.sqlite import Store

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

_MOST_NAMES = 1_000  # in one statement


class DomainDay(Struct, frozen=True, kw_only=True, gc=False):
    """What was reported for one domain and UTC day."""

    domain: str
    day: date
    total: int  # sessions that count
    failed: int
    proven_total: int  # of the sessions, those in reports that their submitter signed
    proven_failed: int  # of the failed ones likewise


def failed_days(
    store: Store,
    *,
    domain: str | None,
    since: date,
    until: date,
    at_least: int,
    percent: int,
    proven_only: bool = False,
) -> list[DomainDay]:
    """The days of one domain or of each, on which so many sessions failed, and so many of a hundred."""
    values = {**range_of(domain, since, until), "at_least": at_least, "percent": percent}
    with store.reading() as db:
        return [_row(row) for row in db.execute(days_with_failures(domain is None, proven_only), values)]


def worst_of_domains(
    store: Store,
    domains: Sequence[str],
    *,
    since: date,
    until: date,
    leave_out: Collection[str] = (),
    proven_only: bool = False,
) -> dict[str, int]:
    """Failed sessions of some report domains on their worst day; without the reports of some senders."""
    query = worst_without_senders(proven_only)
    return {row[0]: row[1] for row in _by_names(store, query, sorted(domains), since, until, leave_out)}


def days_of_domains(
    store: Store,
    domains: Sequence[str],
    *,
    since: date,
    until: date,
    leave_out: Collection[str] = (),
    proven_only: bool = False,
) -> list[DomainDay]:
    """All days of some report domains with a report, by domain and day; without the reports of some senders."""
    query = days_without_senders(True, proven_only)
    return [_row(row) for row in _by_names(store, query, sorted(domains), since, until, leave_out)]


def days_of_domain(
    store: Store,
    domain: str,
    *,
    since: date,
    until: date,
    leave_out: Collection[str] = (),
    proven_only: bool = False,
) -> list[DomainDay]:
    """All days of one domain, which may be a policy's (DESIGN promise 8), without the reports of some senders."""
    query = days_without_senders(False, proven_only)
    return [_row(row) for row in _by_names(store, query, [storable(domain)], since, until, leave_out)]


def _by_names(
    store: Store, query: Query, names: Sequence[str], since: date, until: date, leave_out: Collection[str]
) -> Iterator[Any]:
    """The rows of a statement that takes a list of names, so many of them at a time."""
    values: dict[str, Any] = {"since": to_day(since), "until": to_day(until), "leave_out": list(leave_out)}
    with store.reading() as db:
        for first in range(0, len(names), _MOST_NAMES):
            yield from db.execute(query, {**values, "domains": names[first : first + _MOST_NAMES]})


def domain_count(store: Store) -> int:
    """How many report domains there are."""
    with store.reading() as db:
        return db.execute(select(func.count()).select_from(schema.domain)).scalar_one()


@lru_cache(maxsize=4)
def days_with_failures(each: bool, proven_only: bool) -> Query:
    """Days of one domain or of each, on which a number and a share of the sessions failed."""
    t = tally.c
    total, failed = func.sum(t.counted_total), func.sum(t.counted_failed)
    return (
        select(t.domain, t.day, total, failed, *_proven())
        .where(*rows_of(tally, each, proven_only))
        .group_by(t.domain, t.day)
        .having(failed >= bindparam("at_least"), 100 * failed >= bindparam("percent") * total)
    )


@lru_cache(maxsize=4)
def days_without_senders(each: bool, proven_only: bool) -> Query:
    """Days of some names, without some senders; `each`: of what is filed under the name itself."""
    t = tally.c
    return (
        select(t.domain, t.day, func.sum(t.counted_total), func.sum(t.counted_failed), *_proven())
        .where(*_without_senders(each, proven_only))
        .group_by(t.domain, t.day)
        .order_by(t.domain, t.day)
    )


@lru_cache(maxsize=2)
def worst_without_senders(proven_only: bool) -> Query:
    """Failed sessions of some report domains on the day with the most, without some senders."""
    t = tally.c
    wanted = _without_senders(True, proven_only)
    by_day = select(t.domain, func.sum(t.counted_failed).label("failed")).where(*wanted).group_by(t.domain, t.day)
    days = by_day.subquery()
    return select(days.c.domain, func.max(days.c.failed)).group_by(days.c.domain)


def _without_senders(each: bool, proven_only: bool) -> list[ColumnElement[bool]]:
    t = tally.c
    domains: Any = bindparam("domains", expanding=True)
    left_out: Any = bindparam("leave_out", expanding=True)
    wanted: list[ColumnElement[bool]] = [
        t.domain.in_(domains),
        t.day.between(bindparam("since"), bindparam("until")),
        t.sender.not_in(left_out),
    ]
    if each:
        wanted.append(t.report_domain == t.domain)
    if proven_only:
        wanted.append(t.proven == 1)
    return wanted


def _proven() -> list[Any]:
    t = tally.c
    return [func.sum(case((t.proven == 1, column), else_=0)) for column in (t.counted_total, t.counted_failed)]


def _row(row: Any) -> DomainDay:
    domain, day, total, failed, proven_total, proven_failed = row
    return DomainDay(
        domain=domain,
        day=from_day(day),
        total=total,
        failed=failed,
        proven_total=proven_total,
        proven_failed=proven_failed,
    )
