"""Reports, arrivals and stores with defaults, and strategies for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tlsrpt.core.findings import Finding
from tlsrpt.core.report import DateRange, FailureDetail, Policy, PolicyResult, Report, Summary
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Arrival, Fault, IncomingReport, MailHeaders

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
) -> IncomingReport:
    report = a_report() if report is None else report
    domains = tuple(report_domain or entry.policy.policy_domain for entry in report.policies)
    return IncomingReport(report=report, report_domains=domains, findings=findings, extras=extras or {}, where=where)


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


DOMAINS = st.sampled_from(["meadow.example", "orchard.example", "mx1.host.example"])
COUNTS = st.integers(0, 10**9)
TEXTS = st.none() | st.text(max_size=20)

details = st.builds(
    FailureDetail,
    result_type=st.none() | st.sampled_from(["certificate-expired", "starttls-not-supported", "new-type"]),
    failed_session_count=st.integers(0, 20),
    sending_mta_ip=st.none() | st.sampled_from(["192.0.2.1", "2001:db8::1"]),
    receiving_mx_hostname=st.none() | st.sampled_from(["mx1.host.example", "MX2.host.example."]),
    receiving_mx_helo=TEXTS,
    receiving_ip=st.none() | st.sampled_from(["198.51.100.1", "2001:db8::25"]),
    additional_information=TEXTS,
    failure_reason_code=TEXTS,
)
entries = st.builds(
    PolicyResult,
    policy=st.builds(
        Policy,
        policy_type=st.none() | st.sampled_from(["sts", "tlsa", "no-policy-found", "other"]),
        policy_domain=DOMAINS,
        policy_string=st.none()
        | st.sampled_from([(), ("version: STSv1", "mode: testing"), ("mode: enforce",), ("3 1 1 00",)]),
        mx_host=st.none() | st.sampled_from([(), ("*.host.example",)]),
    ),
    summary=st.builds(Summary, total_successful_session_count=COUNTS, total_failure_session_count=COUNTS),
    failure_details=st.none() | st.lists(details, max_size=4).map(tuple),
)
reports = st.builds(
    a_report,
    report_id=st.sampled_from(["1", "2", None]),
    day=st.integers(0, 2),
    contact_info=st.sampled_from(["tls@sender.example", "postmaster@other.example", None]),
).flatmap(
    lambda report: st.lists(entries, max_size=4).map(
        lambda some: Report(
            organization_name=report.organization_name,
            date_range=report.date_range,
            contact_info=report.contact_info,
            report_id=report.report_id,
            policies=tuple(some),
        )
    )
)


@st.composite
def arrivals(draw: st.DrawFn) -> Arrival:
    """A document of up to three reports, filed under their policy domains or all under one."""
    found = draw(st.lists(st.tuples(reports, st.none() | DOMAINS), max_size=3))
    faults = draw(st.lists(st.builds(Fault, reason=st.just("no JSON"), where=st.sampled_from(["", "a"])), max_size=2))
    return an_arrival(
        *(incoming(report, report_domain=domain) for report, domain in found),
        raw=draw(st.binary(min_size=1, max_size=50)),
        faults=tuple(faults),
    )
