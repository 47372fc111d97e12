"""The report document (RFC 8460 section 4.4) as values.

Field names are the RFC's keys with underscores; encoding gives them back with hyphens. An absent optional key is
None and is left out when written, so that a report that keeps to the RFC reads and writes back to equal JSON.
Whether a key may be absent is `reading`'s business: these values hold what was read.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from msgspec import Struct


class DateRange(Struct, frozen=True, kw_only=True, rename="kebab"):
    """The window that the report covers; both ends carry an offset (RFC 3339 section 5.6)."""

    start_datetime: datetime
    end_datetime: datetime

    @property
    def day(self) -> date:
        """The UTC day that the report is filed under: the day of its start."""
        return self.start_datetime.astimezone(UTC).date()


class Policy(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """The policy that the sending MTA applied."""

    policy_type: str | None  # tlsa, sts, no-policy-found, or as sent; None where the sender left it out
    policy_domain: str  # A-labels, lower case
    policy_string: tuple[str, ...] | None = None
    mx_host: tuple[str, ...] | None = None


class Summary(Struct, frozen=True, kw_only=True, rename="kebab"):
    """Sessions under one policy, in the window."""

    total_successful_session_count: int
    total_failure_session_count: int


class FailureDetail(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """One row of failure-details. One session may be counted in several rows (R4-03)."""

    result_type: str | None  # as sent; core.results explains the registered ones
    failed_session_count: int
    sending_mta_ip: str | None = None
    receiving_mx_hostname: str | None = None
    receiving_mx_helo: str | None = None
    receiving_ip: str | None = None
    additional_information: str | None = None
    failure_reason_code: str | None = None


class PolicyResult(Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """One entry of `policies`: a policy, its sessions, its failures."""

    policy: Policy
    summary: Summary
    failure_details: tuple[FailureDetail, ...] | None = None


class Report(Struct, frozen=True, kw_only=True, rename="kebab"):
    """One report: who saw what, over which window, under which policies."""

    organization_name: str | None
    date_range: DateRange
    contact_info: str | None
    report_id: str | None
    policies: tuple[PolicyResult, ...]

    @property
    def successful(self) -> int:
        """Successful sessions: the plain sum of the summaries as sent."""
        return sum(entry.summary.total_successful_session_count for entry in self.policies)

    @property
    def failed(self) -> int:
        """Failed sessions: the plain sum of the summaries as sent."""
        return sum(entry.summary.total_failure_session_count for entry in self.policies)

    @property
    def submitter(self) -> str:
        """Who sent it: the domain of contact-info, lower case, else the organisation's name, else empty (F-25)."""
        _, at, domain = (self.contact_info or "").rpartition("@")
        return (at and domain.strip(" >").rstrip(".").lower()) or self.organization_name or ""
