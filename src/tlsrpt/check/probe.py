"""A report that only tests the way: of one domain, of no session, marked as a test for whoever reads it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from tlsrpt.core.report import DateRange, Policy, PolicyResult, Report, Summary

PREFIX = "tlsrpt-test-"


def trial_report(domain: str, now: datetime) -> Report:
    """A report about yesterday, from the domain about itself; its report-id begins with PREFIX."""
    day = now.astimezone(UTC).date() - timedelta(days=1)
    return Report(
        organization_name=f"tlsrpt test for {domain}",
        date_range=DateRange(
            start_datetime=datetime.combine(day, time(0, 0, 0), UTC),
            end_datetime=datetime.combine(day, time(23, 59, 59), UTC),
        ),
        contact_info=f"postmaster@{domain}",
        report_id=f"{PREFIX}{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}",
        policies=(
            PolicyResult(
                policy=Policy(policy_type="no-policy-found", policy_domain=domain),
                summary=Summary(total_successful_session_count=0, total_failure_session_count=0),
            ),
        ),
    )
