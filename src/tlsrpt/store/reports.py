"""Reports and quarantine: lists, one of them whole, and its bytes as received."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    and_,
    case,
    distinct,
    func,
    literal_column,
    or_,
    select,
)

from tlsrpt.core.errors import StoreError
from tlsrpt.core.findings import Finding
from tlsrpt.core.report import DateRange, FailureDetail, Policy, PolicyResult, Report, Summary
from tlsrpt.store import schema
from tlsrpt.store.answers import (
    ForeignDomain,
    QuarantineEntry,
    QuarantineState,
    ReportLine,
    ReportPage,
    Sighting,
    Standing,
    StoredReport,
)
from tlsrpt.store.days import from_day, from_seconds, to_day
from tlsrpt.store.rows import storable, texts, unpack
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import PROVEN, Dkim, MailHeaders

if TYPE_CHECKING:
    Query = Select[*tuple[Any, ...]]

_LONGEST_PATTERN = 1_000  # SQLite gives up beyond 50,000 bytes

_report, _document, _quarantine = schema.report.c, schema.document.c, schema.quarantine.c


def list_reports(
    store: Store,
    *,
    domain: str | None = None,
    sender: str | None = None,
    since: date | None = None,
    until: date | None = None,
    failed: bool = False,
    conflict: bool = False,
    findings: bool = False,
    text: str | None = None,
    standing: Standing | None = None,
    dkim: Dkim | None = None,
    proven: bool | None = None,
    limit: int = 50,
    after: str | None = None,
) -> ReportPage:
    """Reports, newest day first, then the last taken in first.

    Args:
        domain: matches report domain and policy domain (DESIGN promise 8).
        since, until: UTC days of the window's start, both included.
        failed, conflict, findings: only those with failed sessions, that conflict with another, with findings.
        text: a part of the report-id, the organisation's name or the contact, whatever the case.
        standing: only those that count, that another counts instead of, or that are for domains not ours.
        dkim: only those with this verdict.
        proven: only those that their submitter signed, or only those of which that is not known.
        after: `next` of the page before.
    Raises:
        StoreError: `after` is no such text, or `text` is too long to look for.
    """
    wanted: list[ColumnElement[bool]] = [_report.pruned == 0]
    day, number = (_report.day, _report.id) if domain is None else (schema.filed.c.day, schema.filed.c.report_id)
    if domain is not None:
        wanted.append(schema.filed.c.domain == storable(domain))
    if sender is not None:
        wanted.append(_report.sender == storable(sender))
    if since is not None:
        wanted.append(day >= to_day(since))
    if until is not None:
        wanted.append(day <= to_day(until))
    if failed:
        wanted.append(_report.failed > 0)
    if conflict:
        wanted.append(_is_in_conflict())
    if findings:
        wanted.append(_report.findings > 0)
    if text:
        wanted.append(_contains(text))
    if standing is not None:
        wanted.append(_STANDINGS[standing])
    if dkim is not None:
        wanted.append(_report.dkim == dkim)
    if proven is not None:
        wanted.append(_report.dkim == PROVEN if proven else _report.dkim.is_distinct_from(PROVEN))
    if after is not None:
        last_day, last_id = _read_cursor(after)
        wanted += [day <= last_day, or_(day < last_day, number < last_id)]
    source: Any = schema.report
    if domain is not None:
        source = schema.filed.join(schema.report, _report.id == schema.filed.c.report_id)
    query = select(schema.report).select_from(source).where(*wanted).order_by(day.desc(), number.desc())
    with store.reading() as db:
        rows = db.execute(query.limit(limit + 1)).all()
        domains = _domains_of(db, [row.id for row in rows[:limit]])
    lines = tuple(_report_line(row, domains.get(row.id, ())) for row in rows[:limit])
    more = len(rows) > limit and rows[limit - 1]
    return ReportPage(reports=lines, next=f"{more.day}-{more.id}" if more else None)


def report_by_id(store: Store, id_: int) -> StoredReport:
    """One report, whole.

    Raises:
        StoreError: there is none of this id, or its facts were pruned.
    """
    with store.reading() as db:
        row = db.execute(_report_and_document(_id(id_))).one_or_none()
        if row is None:
            raise StoreError(f"no report {id_}", where=str(store.path), fix="see `tlsrpt reports`")
        if row.pruned:
            raise StoreError(
                f"report {id_} of {from_day(row.day)} was pruned",
                where=str(store.path),
                fix="its sums are in `summary`",
            )
        policies = db.execute(policies_of(id_)).all()
        failures = db.execute(failures_of(id_, row.day)).all()
        findings = db.execute(findings_of(id_)).all()
        sightings = db.execute(sightings_of(id_)).all()
        conflicts = db.execute(conflicts_of(id_)).scalars().all()
    return StoredReport(
        id=id_,
        report=_rebuild(row, policies, failures),
        report_domains=tuple(policy.report_domain for policy in policies),
        findings=tuple(
            Finding(
                code=finding.code,
                severity=finding.severity,
                where=finding.where_,
                message=finding.message,
                consequence=finding.consequence,
                fix=finding.fix,
            )
            for finding in findings
        ),
        extras={} if row.extras is None else json.loads(row.extras),
        where=row.where_,
        sender=row.sender,
        standing=_standing(row),
        counted=bool(row.counted),
        conflict_with=row.conflict_with,
        dkim=row.dkim,
        dkim_domain=row.dkim_domain,
        conflicts=tuple(conflicts),
        source=row.source,
        form=row.form,
        file_name=row.file_name,
        headers=MailHeaders(
            sender=row.header_from,
            report_domain=row.header_report_domain,
            submitter=row.header_submitter,
            message_id=row.header_message_id,
            date=row.header_date,
        ),
        received_at=from_seconds(row.received_at),
        size_bytes=row.size_bytes,
        raw_kept=row.raw_kept,
        sightings=tuple(
            Sighting(source=one.source, file_name=one.file_name, received_at=from_seconds(one.received_at))
            for one in sightings
        ),
    )


def raw_of_report(store: Store, id_: int) -> bytes:
    """The document that brought a report, byte for byte.

    Raises: StoreError where there is no such report, or its bytes were pruned.
    """
    query = select(_document.packing, _document.raw).join(schema.report, _report.document_id == _document.id)
    return _raw(store, query.where(_report.id == _id(id_)), f"report {id_}", "see `tlsrpt reports`")


def raw_of_quarantine(store: Store, id_: int) -> bytes:
    """The document of a quarantine entry, byte for byte.

    Raises: StoreError where there is no such entry, or its bytes were pruned.
    """
    query = select(_document.packing, _document.raw).join(schema.quarantine, _quarantine.document_id == _document.id)
    return _raw(
        store, query.where(_quarantine.id == _id(id_)), f"quarantine entry {id_}", "see `tlsrpt quarantine list`"
    )


def list_quarantine(
    store: Store, *, state: QuarantineState | None = "waiting", limit: int | None = None, before: int | None = None
) -> list[QuarantineEntry]:
    """Quarantine entries, the last one first; `before` is the id that the page before ended with."""
    wanted: list[ColumnElement[bool]] = []
    if state is not None:
        wanted.append(_quarantine.state == state)
    if before is not None:
        wanted.append(_quarantine.id < before)
    query = _quarantine_entries().where(*wanted).order_by(_quarantine.id.desc()).limit(limit)
    with store.reading() as db:
        return [_quarantine_entry(row) for row in db.execute(query)]


def quarantine_by_id(store: Store, id_: int) -> QuarantineEntry:
    """One quarantine entry.

    Raises: StoreError where there is none.
    """
    with store.reading() as db:
        row = db.execute(_quarantine_entries().where(_quarantine.id == _id(id_))).one_or_none()
    if row is None:
        raise StoreError(f"no quarantine entry {id_}", where=str(store.path), fix="see `tlsrpt quarantine list`")
    return _quarantine_entry(row)


def foreign_domains(store: Store, *, limit: int = 100) -> list[ForeignDomain]:
    """The domains that are not ours and that reports came for, those with the most first: candidates to be owned."""
    with store.reading() as db:
        return [
            ForeignDomain(
                domain=row.domain,
                reports=row.reports,
                proven=row.proven,
                first_received=from_seconds(row.first_received),
                last_received=from_seconds(row.last_received),
            )
            for row in db.execute(foreign_by_domain(limit))
        ]


def policies_of(id_: int) -> Query:
    """The policies of a report, in their order."""
    policy = schema.policy
    return select(policy).where(policy.c.report_id == id_).order_by(policy.c.n)


def failures_of(id_: int, day: int) -> Query:
    """The failure rows of a report, in their order: by the key, which begins with domain and day."""
    failure, policy = schema.failure.c, schema.policy.c
    domains = select(policy.report_domain).where(policy.report_id == id_).distinct()
    return (
        select(schema.failure)
        .where(failure.report_domain.in_(domains), failure.day == day, failure.report_id == id_)
        .order_by(failure.n, failure.m)
    )


def findings_of(id_: int) -> Query:
    """The findings of a report, in their order."""
    finding = schema.finding
    return select(finding).where(finding.c.report_id == id_).order_by(finding.c.n)


def sightings_of(id_: int) -> Query:
    """The other documents that brought a report, oldest first."""
    sighting = schema.sighting
    return select(sighting).where(sighting.c.report_id == id_).order_by(sighting.c.received_at, sighting.c.sha256)


def conflicts_of(id_: int) -> Query:
    """The reports that conflict with a counted one."""
    return select(_report.id).where(_is_conflict(_report), _report.conflict_with == id_).order_by(_report.id)


def foreign_by_domain(limit: int) -> Query:
    """Foreign reports by report domain, those with the most first."""
    name = func.coalesce(schema.policy.c.report_domain, "").label("domain")
    number = func.count(distinct(_report.id)).label("reports")
    return (
        select(
            name,
            number,
            func.count(distinct(case((_report.dkim == PROVEN, _report.id)))).label("proven"),
            func.min(_report.received_at).label("first_received"),
            func.max(_report.received_at).label("last_received"),
        )
        .select_from(schema.report.outerjoin(schema.policy, schema.policy.c.report_id == _report.id))
        .where(_is_foreign(_report), _report.pruned == 0)
        .group_by(name)
        .order_by(number.desc(), name)
        .limit(limit)
    )


def _report_and_document(id_: int) -> Query:
    document = [column for column in _document if column.name not in {"id", "raw", "received_at"}]
    return (
        select(schema.report, *document, _document.raw.is_not(None).label("raw_kept"))
        .join(schema.document, _report.document_id == _document.id)
        .where(_report.id == id_)
    )


def _quarantine_entries() -> Query:
    return select(
        schema.quarantine,
        _document.form,
        _document.file_name,
        _document.size_bytes,
        _document.raw.is_not(None).label("raw_kept"),
    ).join(schema.document, _quarantine.document_id == _document.id)


def _is_in_conflict() -> ColumnElement[bool]:
    other = schema.report.alias("other").c  # both lists come from the one index that holds conflicts only
    odd = _is_conflict(other)
    return _report.id.in_(select(other.id).where(odd).union(select(other.conflict_with).where(odd)))


def _is_conflict(report: Any) -> ColumnElement[bool]:
    """In the words of the index: with a value for the 0 SQLite would not see that it is the same."""
    return and_(report.counted == _ZERO, report.foreign_ == _ZERO)


def _is_foreign(report: Any) -> ColumnElement[bool]:
    foreign: ColumnElement[bool] = report.foreign_ == _ONE
    return foreign


_ZERO, _ONE = literal_column("0", Integer), literal_column("1", Integer)
_STANDINGS: dict[Standing, ColumnElement[bool]] = {
    "counted": _report.counted == 1,
    "conflict": _is_conflict(_report),
    "foreign": _is_foreign(_report),
}


def _contains(text: str) -> ColumnElement[bool]:
    if len(text) > _LONGEST_PATTERN:
        raise StoreError(f"text to look for: more than {_LONGEST_PATTERN:,} characters", fix="name a part of it")
    columns = (_report.report_id, _report.organization_name, _report.contact_info)
    return or_(*(column.icontains(storable(text), autoescape=True) for column in columns))


def _read_cursor(after: str) -> tuple[int, int]:
    day, hyphen, number = after.partition("-")
    if not (hyphen and day.isdecimal() and number.isdecimal() and len(day) < 10 and len(number) < 19):
        raise StoreError(f"no place in the list: {after[:40]!r}", fix="take `next` of the page before")
    return int(day), int(number)


def _domains_of(db: Connection, ids: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The report domains of some reports."""
    policy = schema.policy.c
    query = select(policy.report_id, policy.report_domain).where(policy.report_id.in_(ids)).distinct()
    result: dict[int, tuple[str, ...]] = {}
    for id_, domain in db.execute(query.order_by(policy.report_id, policy.n)):
        result[id_] = (*result.get(id_, ()), domain)
    return result


def _report_line(row: Any, domains: tuple[str, ...]) -> ReportLine:
    return ReportLine(
        id=row.id,
        report_id=row.report_id,
        organization_name=row.organization_name,
        sender=row.sender,
        day=from_day(row.day),
        start_datetime=from_seconds(row.start_datetime),
        end_datetime=from_seconds(row.end_datetime),
        received_at=from_seconds(row.received_at),
        domains=domains,
        successful=row.successful,
        failed=row.failed,
        findings=row.findings,
        standing=_standing(row),
        conflict_with=row.conflict_with,
        dkim=row.dkim,
        dkim_domain=row.dkim_domain,
    )


def _standing(row: Any) -> Standing:
    if row.foreign_:
        return "foreign"
    return "counted" if row.counted else "conflict"


def _rebuild(row: Any, policies: Sequence[Any], failures: Sequence[Any]) -> Report:
    details: dict[int, list[FailureDetail]] = {}
    for failure in failures:
        details.setdefault(failure.n, []).append(
            FailureDetail(
                result_type=failure.result_type,
                failed_session_count=failure.failed_session_count,
                sending_mta_ip=failure.sending_mta_ip,
                receiving_mx_hostname=failure.receiving_mx_hostname,
                receiving_mx_helo=failure.receiving_mx_helo,
                receiving_ip=failure.receiving_ip,
                additional_information=failure.additional_information,
                failure_reason_code=failure.failure_reason_code,
            )
        )
    return Report(
        organization_name=row.organization_name,
        date_range=DateRange(
            start_datetime=from_seconds(row.start_datetime), end_datetime=from_seconds(row.end_datetime)
        ),
        contact_info=row.contact_info,
        report_id=row.report_id,
        policies=tuple(
            PolicyResult(
                policy=Policy(
                    policy_type=policy.policy_type,
                    policy_domain=policy.policy_domain,
                    policy_string=_texts(policy.policy_string),
                    mx_host=_texts(policy.mx_host),
                ),
                summary=Summary(
                    total_successful_session_count=policy.successful, total_failure_session_count=policy.failed
                ),
                failure_details=None if policy.failure_details is None else tuple(details.get(policy.n, ())),
            )
            for policy in policies
        ),
    )


def _id(id_: int) -> int:
    """An id as somebody typed it; what no column holds names nothing."""
    return id_ if 0 < id_ < 2**63 else 0


def _texts(array: str | None) -> tuple[str, ...] | None:
    return None if array is None else texts(array)


def _quarantine_entry(row: Any) -> QuarantineEntry:
    return QuarantineEntry(
        id=row.id,
        reason=row.reason,
        where=row.where_,
        state=row.state,
        source=row.source,
        form=row.form,
        file_name=row.file_name,
        received_at=from_seconds(row.received_at),
        size_bytes=row.size_bytes,
        raw_kept=row.raw_kept,
    )


def _raw(store: Store, query: Query, what: str, fix: str) -> bytes:
    with store.reading() as db:
        row = db.execute(query).one_or_none()
    if row is None:
        raise StoreError(f"no {what}", where=str(store.path), fix=fix)
    packing, raw = row
    if raw is None:
        raise StoreError(f"the bytes of {what} were pruned", where=str(store.path))
    return unpack(packing, raw)
