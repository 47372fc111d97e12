"""Report -> JSON, gzip and file name (RFC 8460 sections 4.4, 5.1 and 5.2).

What is written keeps the order of the RFC's keys and has no blanks; equal reports give equal bytes.
"""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from tlsrpt.core.domain import parse_domain
from tlsrpt.core.report import DateRange, Report

_ENCODER = msgspec.json.Encoder()
_UNIQUE_ID = re.compile(r"[A-Za-z0-9]{1,64}", re.ASCII)


def write_report(report: Report) -> bytes:
    """The report as compact JSON in UTF-8; its window in UTC, as `2026-03-01T00:00:00Z`."""
    window = DateRange(
        start_datetime=report.date_range.start_datetime.astimezone(UTC),
        end_datetime=report.date_range.end_datetime.astimezone(UTC),
    )
    return _ENCODER.encode(replace(report, date_range=window))


def gzip_report(report: Report) -> bytes:
    """The report as gzip of its JSON, without a time stamp: equal reports give equal bytes."""
    return gzip.compress(write_report(report), mtime=0)


def file_name(report: Report, policy_domain: str, *, unique_id: str | None = None, suffix: str = "json.gz") -> str:
    """`sender!policy-domain!begin!end[!unique-id].json.gz` (R5.1-01).

    Args:
        report: its contact-info gives the sender (R5.1-02); the organisation's name is free text and never stands here.
        policy_domain: the domain that the report goes to.
        unique_id: letters and digits.
        suffix: `json.gz` or `json` (R5.1-03).
    Raises:
        DomainError: contact-info or policy_domain has no domain name.
        ValueError: unique_id or suffix is of another form.
    """
    if suffix not in ("json", "json.gz"):
        raise ValueError("suffix must be json or json.gz")
    if unique_id is not None and not _UNIQUE_ID.fullmatch(unique_id):
        raise ValueError("unique_id must be letters and digits")
    sender = parse_domain((report.contact_info or "").rpartition("@")[2])
    window = report.date_range
    parts = [sender, parse_domain(policy_domain), _epoch(window.start_datetime), _epoch(window.end_datetime)]
    return "!".join(parts + ([unique_id] if unique_id else [])) + f".{suffix}"


def _epoch(moment: datetime) -> str:
    return str(int(moment.timestamp()))
