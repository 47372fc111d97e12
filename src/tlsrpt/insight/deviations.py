"""Where a sender's reports depart from the RFC, in words that can be sent to that sender.

Every report is read as far as it can be, so a deviation costs us little. It costs the sender more: other receivers
refuse such reports. What is not the sender's fault, or may not be (a mail system on the way), is not put to it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from msgspec import Struct

from tlsrpt.core.findings import SENDERS_FAULT
from tlsrpt.core.text import printable
from tlsrpt.insight.coverage import SenderCoverage
from tlsrpt.store.senders import DeviationRow, deviation_rows
from tlsrpt.store.sqlite import Store


class Deviation(Struct, frozen=True, kw_only=True):
    """One kind of departure from the RFC, in so many reports of one sender."""

    code: str
    severity: str
    reports: int
    first_day: date
    last_day: date
    example: int  # id of the last report that has it, for `tlsrpt show`
    example_report_id: str | None
    example_day: date
    where: str  # in the example
    message: str
    read_as: str  # how it was read
    senders_fault: bool


def find_deviations(store: Store, sender: str, *, days: Collection[date], domain: str | None = None) -> list[Deviation]:
    """The deviations in one sender's reports of these days, the most frequent first."""
    return [_deviation(row) for row in deviation_rows(store, sender, domain=domain, days=days)]


def words_to_send(sender: SenderCoverage, found: Sequence[Deviation]) -> str:
    """A text to send to the contact of these reports; empty where nothing is the sender's fault.

    A text of ours: what is quoted from reports is made harmless, so that it adds no lines of its own.
    """
    theirs = [one for one in found if one.senders_fault]
    if not theirs:
        return ""
    name = printable(sender.organization_name or sender.sender, 100) or "no name given"
    lines = [
        f"Your SMTP TLS reports ({name}) reach us and are read. Some readers refuse them: they depart from RFC 8460.",
        "",
    ]
    for one in theirs:
        lines.append(f"- {printable(one.message)}, at {printable(one.where)}")
        example = f"report-id {printable(one.example_report_id or 'none', 200)} of {one.example_day}"
        days = f"{one.first_day} to {one.last_day}"
        seen = f"in {example}" if one.reports == 1 else f"in {one.reports:,} reports, {days}; for example {example}"
        lines.append(f"  ({one.code}; {seen})")
    return "\n".join(lines)


def _deviation(row: DeviationRow) -> Deviation:
    return Deviation(
        code=row.code,
        severity=row.severity,
        reports=row.reports,
        first_day=row.first_day,
        last_day=row.last_day,
        example=row.example_id,
        example_report_id=row.example_report_id,
        example_day=row.example_day,
        where=row.where,
        message=row.message,
        read_as=row.consequence,
        senders_fault=row.fix == SENDERS_FAULT,
    )
