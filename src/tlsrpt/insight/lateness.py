"""How long after the end of its window a sender's report comes, and how long that window is.

From the newest reports of the sender. A mail came when it was taken in or, where that was earlier, when its own Date
says: who reads an old mailbox in takes every report in at once. A file says neither, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from statistics import median
from typing import Literal

from msgspec import Struct

from tlsrpt.store.senders import LatestReport

Window = Literal["day", "rolling", "hours", "week", "other"]

USUAL_DAYS_LATE = 1  # where nothing is known
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_SLACK = timedelta(minutes=5)  # 23:59:59 and 24:00 end the same day (F-22)


class Lateness(Struct, frozen=True, kw_only=True):
    """Hours from the end of the window until the report came, over the reports looked at."""

    usual_hours: int  # the median
    most_hours: int  # of nine in ten
    longest_hours: int
    reports: int  # looked at

    @property
    def days(self) -> int:
        """Whole days that may pass, at this pace."""
        return max(1, -(-self.most_hours // 24))


def lateness(latest: Iterable[LatestReport]) -> Lateness | None:
    """The lateness of one sender's reports; None where none of them tells when it came."""
    hours = sorted(hours_late(report) for report in latest if _tells_when(report))
    if not hours:
        return None
    return Lateness(
        usual_hours=round(median(hours)),
        most_hours=hours[-(-9 * len(hours) // 10) - 1],
        longest_hours=hours[-1],
        reports=len(hours),
    )


def hours_late(report: LatestReport) -> int:
    """Whole hours, rounded; 0 for a report that came before its window ended."""
    came = report.received_at
    sent = _date(report.header_date)
    if sent is not None and report.end_datetime - _DAY <= sent:
        came = min(came, sent)
    return max(0, round((came - report.end_datetime) / _HOUR))


def window(latest: Sequence[LatestReport]) -> Window:
    """The usual kind of window: one UTC day, 24 hours from elsewhere, hours, a week (F-23)."""
    kinds = [_window(report) for report in latest]
    return max(kinds, key=kinds.count, default="day")


def _window(report: LatestReport) -> Window:
    length = report.end_datetime - report.start_datetime
    start = report.start_datetime
    if length < timedelta(hours=20):
        return "hours"
    if length <= timedelta(hours=28):
        return "day" if (start.hour, start.minute) == (0, 0) and length <= _DAY + _SLACK else "rolling"
    return "week" if 6 * _DAY - _SLACK <= length <= 8 * _DAY + _SLACK else "other"


def _tells_when(report: LatestReport) -> bool:
    """A file that was taken in says only when that was; a body that was posted has no name."""
    return report.form == "message" or report.file_name is None


def _date(text: str | None) -> datetime | None:
    try:
        sent = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError, IndexError):  # as many kinds as there are odd dates
        return None
    return sent.replace(tzinfo=UTC) if sent.tzinfo is None else sent
