"""Who reports, day by day, and what its reports look like: what coverage and deviations are judged from.

Days and figures come from the tallies. How a sender writes and when its reports come stands in the reports alone, of
which only the newest of each sender are looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from msgspec import Struct
from sqlalchemy import Select, bindparam, case, distinct, exists, func, select

from tlsrpt.store import schema
from tlsrpt.store.days import from_day, from_seconds, to_day
from tlsrpt.store.figures import range_of, rows_of
from tlsrpt.store.rows import storable
from tlsrpt.store.schema import tally
from tlsrpt.store.sqlite import Store

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

_report, _document, _finding, _filed = schema.report.c, schema.document.c, schema.finding.c, schema.filed.c


class SenderDay(Struct, frozen=True, kw_only=True, gc=False):
    """What one sender reported for one UTC day."""

    sender: str
    day: date
    reports: int
    proven: int  # of the reports: signed by their submitter
    total: int  # sessions that count
    failed: int


class SenderDomainDay(Struct, frozen=True, kw_only=True, gc=False):
    """What the sender in question reported on one report domain for one UTC day."""

    domain: str
    day: date
    reports: int
    proven: int
    total: int
    failed: int


class DomainSenderDay(NamedTuple):
    """A sender reported on a domain for a UTC day."""

    domain: str
    day: date
    sender: str


class PolicyShare(Struct, frozen=True, kw_only=True):
    """Under which kind of policy a sender reports; sessions as sent, each type for itself."""

    policy_type: str  # "" where not named
    reports: int
    successful: int
    failed: int


class LatestReport(Struct, frozen=True, kw_only=True, gc=False):
    """One of the newest reports of a sender: how it names itself, its window, and when it came."""

    sender: str
    day: date
    start_datetime: datetime
    end_datetime: datetime
    received_at: datetime
    organization_name: str | None
    contact_info: str | None
    failed: int  # sessions, as sent
    form: Literal["message", "body"]
    file_name: str | None
    header_date: str | None  # of the mail, as sent


class DeviationRow(Struct, frozen=True, kw_only=True):
    """One kind of departure from the RFC in the reports of a sender, and the last report that has it."""

    code: str
    severity: str
    reports: int
    first_day: date
    last_day: date
    example_id: int
    example_report_id: str | None
    example_day: date
    where: str
    message: str
    consequence: str
    fix: str


def sender_days(store: Store, *, domain: str | None, since: date, until: date) -> list[SenderDay]:
    """Each sender's days with a report, by sender and day."""
    with store.reading() as db:
        return [
            SenderDay(sender=sender, day=from_day(day), reports=reports, proven=proven, total=total, failed=failed)
            for sender, day, reports, proven, total, failed in db.execute(
                days_by_sender(), range_of(domain, since, until)
            )
        ]


def domains_of_senders(store: Store, *, since: date, until: date) -> dict[str, int]:
    """On how many report domains each sender reported."""
    with store.reading() as db:
        return dict(db.execute(domains_by_sender(), range_of(None, since, until)).tuples().all())


def days_of_quiet_domains(store: Store, *, since: date, after: date, until: date) -> list[DomainSenderDay]:
    """Who reported when on the report domains on which nobody did after a day, by domain and day."""
    values = {**range_of(None, since, until), "after": to_day(after)}
    with store.reading() as db:
        return [
            DomainSenderDay(domain, from_day(day), sender)
            for domain, day, sender in db.execute(days_where_nobody_came_after(), values)
        ]


def days_of_sender(store: Store, sender: str, *, domain: str | None, since: date, until: date) -> list[SenderDomainDay]:
    """One sender's days on each report domain, by domain and day."""
    values = {**range_of(domain, since, until), "sender": storable(sender)}
    with store.reading() as db:
        return [
            SenderDomainDay(domain=name, day=from_day(day), reports=reports, proven=proven, total=total, failed=failed)
            for name, day, reports, proven, total, failed in db.execute(days_by_domain(domain is None), values)
        ]


def policies_of_sender(store: Store, sender: str, *, domain: str | None, since: date, until: date) -> list[PolicyShare]:
    """Under which policy types one sender reports, most reports first."""
    values = {**range_of(domain, since, until), "sender": storable(sender)}
    with store.reading() as db:
        return [
            PolicyShare(policy_type=policy_type, reports=reports, successful=successful, failed=failed)
            for policy_type, reports, successful, failed in db.execute(sessions_by_policy_type(), values)
        ]


def latest_reports(
    store: Store,
    *,
    domain: str | None,
    days: Collection[date],
    sender: str | None = None,
    each_day: int = 5,
) -> list[LatestReport]:
    """Of each sender some reports of each of these days that count, newest first."""
    values: dict[str, Any] = {"days": [to_day(day) for day in days], "most": each_day}
    if domain is not None:
        values["domain"] = storable(domain)
    if sender is not None:
        values["sender"] = storable(sender)
    query = newest_of_each_sender(domain is not None, sender is not None)
    with store.reading() as db:
        return [
            LatestReport(
                sender=row.sender,
                day=from_day(row.day),
                start_datetime=from_seconds(row.start_datetime),
                end_datetime=from_seconds(row.end_datetime),
                received_at=from_seconds(row.received_at),
                organization_name=row.organization_name,
                contact_info=row.contact_info,
                failed=row.failed,
                form=row.form,
                file_name=row.file_name,
                header_date=row.header_date,
            )
            for row in db.execute(query, values)
        ]


def deviation_rows(store: Store, sender: str, *, domain: str | None, days: Collection[date]) -> list[DeviationRow]:
    """Where one sender's reports of these days depart from the RFC, the most frequent first.

    `days` are those on which it reported: its reports are found by day, among those of others.
    """
    values: dict[str, Any] = {"days": [to_day(day) for day in days], "sender": storable(sender)}
    if domain is not None:
        values["domain"] = storable(domain)
    with store.reading() as db:
        codes = db.execute(findings_by_code(domain is not None), values).all()
        return [
            DeviationRow(
                code=code,
                severity=example.severity,
                reports=reports,
                first_day=from_day(first),
                last_day=from_day(last),
                example_id=report_id,
                example_report_id=example.report_id,
                example_day=from_day(example.day),
                where=example.where_,
                message=example.message,
                consequence=example.consequence,
                fix=example.fix,
            )
            for code, reports, first, last, report_id in codes
            for example in db.execute(first_finding(report_id, code))
        ]


@lru_cache(maxsize=1)
def days_by_sender() -> Query:
    """Reports and sessions by sender and day, for one domain or all together."""
    t = tally.c
    return (
        select(t.sender, t.day, *_sums())
        .where(*rows_of(tally, False, False))
        .group_by(t.sender, t.day)
        .order_by(t.sender, t.day)
    )


@lru_cache(maxsize=1)
def domains_by_sender() -> Query:
    """How many report domains each sender names."""
    t = tally.c
    # Distinct pairs first: they come in the order of the key, where count(distinct) would sort every row.
    pairs = select(t.domain, t.sender).where(*rows_of(tally, True, False), t.domain != "").distinct().subquery()
    return select(pairs.c.sender, func.count()).group_by(pairs.c.sender)


@lru_cache(maxsize=1)
def days_where_nobody_came_after() -> Query:
    """Domain, day and sender, of the report domains without any report after a day."""
    t, later, name = tally.c, tally.alias("later").c, schema.domain.c.report_domain
    came = exists().where(later.domain == name, later.day > bindparam("after"), later.day <= bindparam("until"))
    return (
        select(t.domain, t.day, t.sender)
        .where(
            t.domain.in_(select(name).where(name != "", ~came)),
            t.day.between(bindparam("since"), bindparam("until")),
            t.report_domain == t.domain,
        )
        .distinct()
        .order_by(t.domain, t.day)
    )


@lru_cache(maxsize=2)
def days_by_domain(each: bool) -> Query:
    """One sender's reports and sessions by report domain and day."""
    t = tally.c
    keys = (t.domain, t.day) if each else (t.report_domain, t.day)
    return (
        select(*keys, *_sums())
        .where(*rows_of(tally, each, False), t.sender == bindparam("sender"))
        .group_by(*keys)
        .order_by(*keys)
    )


@lru_cache(maxsize=1)
def sessions_by_policy_type() -> Query:
    """One sender's reports and sessions by policy type, as sent."""
    t = tally.c
    mentions = func.sum(t.mentions)
    return (
        select(t.policy_type, mentions, func.sum(t.sent_successful), func.sum(t.sent_failed))
        .where(*rows_of(tally, False, False), t.sender == bindparam("sender"))
        .group_by(t.policy_type)
        .order_by(mentions.desc(), t.policy_type)
    )


@lru_cache(maxsize=4)
def newest_of_each_sender(one_domain: bool, one_sender: bool) -> Query:
    """The last few reports of each sender and day, of some days."""
    place = func.row_number().over(partition_by=(_report.sender, _report.day), order_by=_report.id.desc())
    ranked = select(_report.id, place.label("place")).where(*_of_days(one_domain, one_sender)).subquery()
    return (
        select(
            _report.sender,
            _report.day,
            _report.start_datetime,
            _report.end_datetime,
            _report.received_at,
            _report.organization_name,
            _report.contact_info,
            _report.failed,
            _document.form,
            _document.file_name,
            _document.header_date,
        )
        .select_from(ranked)
        .join(schema.report, _report.id == ranked.c.id)
        .join(schema.document, _document.id == _report.document_id)
        .where(ranked.c.place <= bindparam("most"))
        .order_by(_report.sender, _report.day.desc(), _report.id.desc())
    )


@lru_cache(maxsize=2)
def findings_by_code(one_domain: bool) -> Query:
    """In how many of one sender's reports of some days a finding of each code stands, and in which last."""
    reports = func.count(distinct(_report.id))
    return (
        select(_finding.code, reports, func.min(_report.day), func.max(_report.day), func.max(_report.id))
        .join_from(schema.report, schema.finding, _finding.report_id == _report.id)
        .where(*_of_days(one_domain, True), _report.findings > 0)
        .group_by(_finding.code)
        .order_by(reports.desc(), _finding.code)
    )


def first_finding(report_id: int, code: str) -> Query:
    """The first finding of a code in a report, and that report's own id and day."""
    return (
        select(
            _finding.severity,
            _finding.where_,
            _finding.message,
            _finding.consequence,
            _finding.fix,
            _report.report_id,
            _report.day,
        )
        .join_from(schema.finding, schema.report, _report.id == _finding.report_id)
        .where(_finding.report_id == report_id, _finding.code == code)
        .order_by(_finding.n)
        .limit(1)
    )


def _of_days(one_domain: bool, one_sender: bool) -> list[Any]:
    """Which reports: counted ones whose facts are there, of some days, on a domain, of a sender."""
    days: Any = bindparam("days", expanding=True)
    wanted: list[Any] = [_report.counted == 1, _report.pruned == 0]
    if one_domain:
        of_domain = select(_filed.report_id).where(_filed.domain == bindparam("domain"), _filed.day.in_(days))
        wanted.append(_report.id.in_(of_domain))
    else:
        wanted.append(_report.day.in_(days))
    if one_sender:
        wanted.append(_report.sender == bindparam("sender"))
    return wanted


def _sums() -> list[Any]:
    t = tally.c
    return [
        func.sum(t.reports),
        func.sum(case((t.proven == 1, t.reports), else_=0)),
        func.sum(t.counted_total),
        func.sum(t.counted_failed),
    ]
