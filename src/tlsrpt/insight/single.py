"""The rows of one report, as the store would give them: so that `read` explains without a store, in the same words."""

from __future__ import annotations

from tlsrpt.core.report import PolicyResult, Report
from tlsrpt.core.results import mode_of
from tlsrpt.store.values import FailureRow, IncomingReport, SessionRow


def rows_of(incoming: IncomingReport) -> tuple[list[FailureRow], list[SessionRow]]:
    """Failures and sessions of one report, filed under its start's UTC day and the domains that it is about."""
    report = incoming.report
    failures: list[FailureRow] = []
    sessions: list[SessionRow] = []
    for entry, report_domain in zip(report.policies, incoming.report_domains, strict=True):
        sessions.append(
            SessionRow(
                report_domain=report_domain,
                day=report.date_range.day,
                sender=report.submitter,
                policy_type=entry.policy.policy_type or "",
                successful=entry.summary.total_successful_session_count,
                failed=entry.summary.total_failure_session_count,
            )
        )
        failures += _failures(report, entry, report_domain)
    return failures, sessions


def _failures(report: Report, entry: PolicyResult, report_domain: str) -> list[FailureRow]:
    return [
        FailureRow(
            report_domain=report_domain,
            day=report.date_range.day,
            sender=report.submitter,
            policy_type=entry.policy.policy_type or "",
            policy_mode=mode_of(entry.policy.policy_string or ()) or "",
            policy_domain=entry.policy.policy_domain,
            result_type=detail.result_type or "",
            mx_host=detail.receiving_mx_hostname or "",
            receiving_ip=detail.receiving_ip or "",
            reason=detail.failure_reason_code or "",
            failed=detail.failed_session_count,
        )
        for detail in entry.failure_details or ()
    ]
