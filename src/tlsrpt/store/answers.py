"""What the queries answer, as values; no SQL here, so that rooms and verbs import this cheaply.

A figure `successful` or `failed` is the counted one (DESIGN promise 7), `as_sent` the plain sum beside it.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from tlsrpt.core.findings import Finding
from tlsrpt.core.report import Report
from tlsrpt.store.values import Dkim, MailHeaders

By = Literal["domain", "day", "sender", "policy", "mx", "result"]
Standing = Literal[
    "counted",
    "conflict",  # another report of its identity counts
    "foreign",  # for domains that are not ours
]
QuarantineState = Literal["waiting", "released", "other", "pruned"]


class Sessions(Struct, frozen=True, kw_only=True):
    """Sessions as the summaries have them, added up."""

    successful: int
    failed: int


class Totals(Struct, frozen=True, kw_only=True):
    """Reports and sessions of the whole question."""

    reports: int
    successful: int
    failed: int
    as_sent: Sessions


class SummaryRow(Struct, frozen=True, kw_only=True):
    """Reports and sessions under one combination of keys; a key that was not asked for is UNSET, and not encoded.

    With `mx` or `result` among the keys a row speaks of failure rows only: `successful` is UNSET, `reports` is UNSET,
    and `itemised` is False in the rows that hold the failed sessions which no failure row explains (R4-03). `mx` and
    `result` are None there, and where the sender named none. With `policy` among the keys the figures are those of
    that policy type alone, as sent: of `sts` and `tlsa` both may list the same sessions.
    """

    domain: str | UnsetType = UNSET
    day: date | UnsetType = UNSET
    sender: str | UnsetType = UNSET
    policy: str | UnsetType | None = UNSET
    mx: str | UnsetType | None = UNSET
    result: str | UnsetType | None = UNSET
    itemised: bool | UnsetType = UNSET
    reports: int | UnsetType = UNSET
    successful: int | UnsetType = UNSET
    failed: int
    as_sent: Sessions | UnsetType = UNSET
    senders: int
    first_day: date
    last_day: date


class Failed(Struct, frozen=True, kw_only=True):
    """Failed sessions that share one value: a result type or an MX host; None where the sender named none."""

    name: str | None
    failed: int
    as_sent: int


class Summary(Struct, frozen=True, kw_only=True):
    """The answer to `summary`."""

    totals: Totals
    rows: tuple[SummaryRow, ...]
    senders: int
    first_day: date | None  # of those with reports; None for no report at all
    last_day: date | None
    results: tuple[Failed, ...]  # worst first
    mx_hosts: tuple[Failed, ...]  # worst first
    not_itemised: int  # failed sessions that no failure row explains


class ReportLine(Struct, frozen=True, kw_only=True):
    """One report in a list."""

    id: int
    report_id: str | None
    organization_name: str | None
    sender: str
    day: date
    start_datetime: datetime
    end_datetime: datetime
    received_at: datetime
    domains: tuple[str, ...]  # report domains
    successful: int  # plain sums, as sent
    failed: int
    findings: int
    standing: Standing
    conflict_with: int | None
    dkim: Dkim | None  # None: nobody looked
    dkim_domain: str | None


class ReportPage(Struct, frozen=True, kw_only=True):
    """Some reports, newest day first; `next` asks for the following ones, None at the end."""

    reports: tuple[ReportLine, ...]
    next: str | None


class Sighting(Struct, frozen=True, kw_only=True):
    """Another document that brought the same report."""

    source: str
    file_name: str | None
    received_at: datetime


class StoredReport(Struct, frozen=True, kw_only=True):
    """One report, whole, and how it came."""

    id: int
    report: Report
    report_domains: tuple[str, ...]  # one for each entry of report.policies
    findings: tuple[Finding, ...]
    extras: dict[str, object]
    where: str
    sender: str
    standing: Standing
    counted: bool  # the standing is `counted`
    conflict_with: int | None
    dkim: Dkim | None  # None: nobody looked
    dkim_domain: str | None
    conflicts: tuple[int, ...]  # the other reports of the same identity, not counted
    source: str
    form: str
    file_name: str | None
    headers: MailHeaders
    received_at: datetime
    size_bytes: int
    raw_kept: bool
    sightings: tuple[Sighting, ...]


class ForeignDomain(Struct, frozen=True, kw_only=True):
    """A domain that is not ours, and that reports came for all the same (A-14)."""

    domain: str  # report domain; "" for reports that name none
    reports: int
    proven: int  # of these, signed by their submitter: made up by nobody else
    first_received: datetime
    last_received: datetime


class QuarantineEntry(Struct, frozen=True, kw_only=True):
    """A TLS report that could not be read."""

    id: int
    reason: str
    where: str
    state: QuarantineState
    source: str
    form: str
    file_name: str | None
    received_at: datetime
    size_bytes: int
    raw_kept: bool


class StoreInfo(Struct, frozen=True, kw_only=True):
    """What is in a store."""

    path: str
    schema: str
    size_bytes: int  # of the files
    documents: int
    raw_bytes: int  # as received
    packed_bytes: int  # as kept
    reports: int  # all kinds
    conflicts: int
    foreign: int  # for domains that are not ours
    proven: int  # signed by their submitter
    pruned: int
    quarantined: int  # waiting
    failure_rows: int
    domains: int
    senders: int
    first_day: date | None
    last_day: date | None
    last_received: datetime | None


class Checked(Struct, frozen=True, kw_only=True):
    """What `check` looked at and what is wrong."""

    reports: int  # counted again
    problems: tuple[str, ...]  # empty: all is well; bounded, the last one says how many more


class Upgraded(Struct, frozen=True, kw_only=True):
    """What `upgrade` did; equal revisions: nothing."""

    before: str
    after: str
    backup: str | None


class Pruned(Struct, frozen=True, kw_only=True):
    """What `prune` removed."""

    documents: int  # whose bytes went
    reports: int  # whose facts went
    freed_bytes: int | None  # None: the file could not be made smaller now, what was removed leaves room in it
