"""One report as the only source of facts: so that `read` explains without a store, in the same words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from tlsrpt.core.mtasts import parse_policy_lines
from tlsrpt.core.report import PolicyResult, Report
from tlsrpt.core.results import mode_of
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.incidents import explain
from tlsrpt.store.evidence import Cell
from tlsrpt.store.values import Beside, Evidence, FailureRow, IncomingReport, Span


def explain_report(incoming: IncomingReport) -> list[Incident]:
    """What one report tells, as incidents, worst first; judged from its own day."""
    facts = ReportFacts(incoming)
    return explain(facts.failures(), facts, incoming.report.date_range.day)


class ReportFacts:
    """Facts of one report, filed under its start's UTC day and the domains that it is about."""

    def __init__(self, incoming: IncomingReport) -> None:
        self._report = incoming.report
        self._entries = list(zip(incoming.report.policies, incoming.report_domains, strict=True))

    def failures(self) -> list[FailureRow]:
        """Its failure rows, as the store would give them."""
        return [row for entry, domain in self._entries for row in _failures(self._report, entry, domain)]

    def beside(self, spans: Sequence[Span]) -> Sequence[Sequence[Beside]]:
        return [[self._beside(set(span.domains))] for span in spans]

    def _beside(self, domains: set[str]) -> Beside:
        summaries = [entry.summary for entry, domain in self._entries if domain in domains]
        return Beside(
            sender=self._report.submitter,
            successful=sum(each.total_successful_session_count for each in summaries),
            failed=sum(each.total_failure_session_count for each in summaries),
            verified_sts=0,
            verified_tlsa=0,
            latest=self._report.date_range.day,
            later_days=0,
        )

    def evidence(self, cells: Collection[Cell]) -> Mapping[Cell, Sequence[Evidence]]:
        found: dict[Cell, list[Evidence]] = {cell: [] for cell in cells}
        for entry, domain in self._entries:
            cell = domain, self._report.date_range.day
            if cell in found:
                found[cell] += _evidence(self._report, entry, domain)
        return found

    def policies(self, report_domain: str, until: date) -> Mapping[tuple[str, ...], date]:
        return {}  # one sender on one day: nothing tells an older policy from a newer


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
            mx_host=(detail.receiving_mx_hostname or "").lower().rstrip("."),
            receiving_ip=detail.receiving_ip or "",
            reason=detail.failure_reason_code or "",
            failed=detail.failed_session_count,
        )
        for detail in entry.failure_details or ()
    ]


def _evidence(report: Report, entry: PolicyResult, report_domain: str) -> list[Evidence]:
    policy = entry.policy
    lines = policy.policy_string or ()
    listed = (parse_policy_lines(lines).mx or policy.mx_host or ()) if policy.policy_type == "sts" else ()
    return [
        Evidence(
            report=0,
            day=report.date_range.day,
            sender=report.submitter,
            report_domain=report_domain,
            policy_domain=policy.policy_domain,
            policy_type=policy.policy_type,
            result_type=detail.result_type,
            failed=detail.failed_session_count,
            mx_host=detail.receiving_mx_hostname,
            helo=detail.receiving_mx_helo,
            receiving_ip=detail.receiving_ip,
            sending_mta_ip=detail.sending_mta_ip,
            reason=detail.failure_reason_code,
            information=detail.additional_information,
            policy_string=lines,
            policy_mx=tuple(listed),
        )
        for detail in entry.failure_details or ()
    ]
