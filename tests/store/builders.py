"""Reports, arrivals and what is in a store, with defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tlsrpt.core.findings import Finding
from tlsrpt.core.report import DateRange, FailureDetail, Policy, PolicyResult, Report, Summary
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import PROVEN, Arrival, Fault, IncomingReport, MailHeaders

FIRST_DAY = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def a_detail(result_type: str | None = "certificate-expired", failed: int = 1, **values: Any) -> FailureDetail:
    return FailureDetail(result_type=result_type, failed_session_count=failed, **values)


def an_entry(
    policy_type: str | None = "sts",
    policy_domain: str = "meadow.example",
    *,
    successful: int = 10,
    failed: int = 0,
    details: tuple[FailureDetail, ...] | None = None,
    policy_string: tuple[str, ...] | None = None,
    mx_host: tuple[str, ...] | None = None,
) -> PolicyResult:
    return PolicyResult(
        policy=Policy(
            policy_type=policy_type, policy_domain=policy_domain, policy_string=policy_string, mx_host=mx_host
        ),
        summary=Summary(total_successful_session_count=successful, total_failure_session_count=failed),
        failure_details=details,
    )


def a_report(
    *entries: PolicyResult,
    report_id: str | None = "1",
    day: int = 0,
    organization_name: str | None = "Sender Inc.",
    contact_info: str | None = "tls@sender.example",
    days: int = 1,
) -> Report:
    start = FIRST_DAY + timedelta(days=day)
    return Report(
        organization_name=organization_name,
        date_range=DateRange(start_datetime=start, end_datetime=start + timedelta(days=days, seconds=-1)),
        contact_info=contact_info,
        report_id=report_id,
        policies=entries or (an_entry(),),
    )


def incoming(
    report: Report | None = None,
    *,
    report_domain: str | None = None,
    findings: tuple[Finding, ...] = (),
    extras: dict[str, object] | None = None,
    where: str = "",
    **proof: Any,
) -> IncomingReport:
    report = a_report() if report is None else report
    domains = tuple(report_domain or entry.policy.policy_domain for entry in report.policies)
    return IncomingReport(
        report=report, report_domains=domains, findings=findings, extras=extras or {}, where=where, **proof
    )


def signed(report: Report | None = None, **values: Any) -> IncomingReport:
    """A report with an aligned DKIM pass."""
    return incoming(report, dkim=PROVEN, dkim_domain="sender.example", **values)


def for_others(report: Report | None = None, **values: Any) -> IncomingReport:
    """A report for domains that are not ours."""
    return incoming(report, foreign=True, **values)


def an_arrival(
    *reports: IncomingReport | Report,
    raw: bytes | None = None,
    faults: tuple[Fault, ...] = (),
    source: str = "file:/var/mail/1.eml",
    headers: MailHeaders | None = None,
    received_at: datetime = NOW,
) -> Arrival:
    whole = tuple(each if isinstance(each, IncomingReport) else incoming(each) for each in reports)
    if raw is None:
        raw = repr(whole or faults).encode(errors="backslashreplace")  # other documents have other bytes
    return Arrival(
        source=source,
        received_at=received_at,
        raw=raw,
        form="message",
        file_name="1.eml",
        headers=headers,
        reports=whole,
        faults=faults,
    )


def rows_of(store: Store, table: str) -> list[tuple[Any, ...]]:
    """Everything in a table, whatever the order in which it came."""
    return sorted(store.connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)  # noqa: S608
