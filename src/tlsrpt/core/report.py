"""The report document (RFC 8460 section 4.4) as values.

Field names are the RFC's keys with underscores; encoding gives them back with hyphens. An absent optional key is
None and is left out when written, so that a report that keeps to the RFC reads and writes back to equal JSON.
Whether a key may be absent is `reading`'s business: these values hold what was read.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from msgspec import Meta, Struct

if TYPE_CHECKING:
    Text = str | None
    FreeText = str | None
    Texts = tuple[str, ...] | None
    PolicyType = str | None
    ResultType = str | None
else:
    # A typed decoder takes only what RFC 8460 allows: an optional key may be absent (None here) but not null, and a
    # word is one of the registry's. What else is sent, the lenient reader notes and keeps (R4.3-14).
    Text = str
    FreeText = Annotated[str, Meta(min_length=1, max_length=4096)]
    Texts = tuple[str, ...]
    PolicyType = Literal["tlsa", "sts", "no-policy-found"]
    ResultType = Literal[
        "starttls-not-supported",
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "validation-failure",
        "tlsa-invalid",
        "dnssec-invalid",
        "dane-required",
        "sts-policy-fetch-error",
        "sts-policy-invalid",
        "sts-webpki-invalid",
    ]

POLICY_TYPES: frozenset[str] = frozenset(get_args(PolicyType))  # RFC 8460 section 4.4
RESULT_TYPES: frozenset[str] = frozenset(get_args(ResultType))  # RFC 8460 section 4.3, the whole registry (R6-03)
# Failures before any connection: they have no addresses and no MX host to name (F-38).
POLICY_STAGE = frozenset({"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"})

Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]  # R4-01: I-JSON; the lenient reader takes up to 2^63-1


class DateRange(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    """The window that the report covers; both ends carry an offset (RFC 3339 section 5.6)."""

    start_datetime: datetime
    end_datetime: datetime

    @property
    def day(self) -> date:
        """The UTC day that the report is filed under: the day of its start."""
        return self.start_datetime.astimezone(UTC).date()


class Policy(
    Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """The policy that the sending MTA applied."""

    policy_type: PolicyType  # tlsa, sts, no-policy-found, or as sent; None where the sender left it out
    policy_string: Texts = None
    policy_domain: str  # A-labels, lower case
    mx_host: Texts = None


class Summary(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
    """Sessions under one policy, in the window."""

    total_successful_session_count: Count
    total_failure_session_count: Count


class FailureDetail(
    Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """One row of failure-details. One session may be counted in several rows (R4-03)."""

    result_type: ResultType  # as sent; core.results explains the registered ones
    sending_mta_ip: Text = None
    receiving_mx_hostname: Text = None
    receiving_mx_helo: FreeText = None
    receiving_ip: Text = None
    failed_session_count: Count
    additional_information: Text = None
    failure_reason_code: FreeText = None


if TYPE_CHECKING:
    FailureDetails = tuple[FailureDetail, ...] | None
else:
    FailureDetails = tuple[FailureDetail, ...]  # absent, or an array: as above


class PolicyResult(
    Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """One entry of `policies`: a policy, its sessions, its failures."""

    policy: Policy
    summary: Summary
    failure_details: FailureDetails = None


class Report(Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True, gc=False):
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
