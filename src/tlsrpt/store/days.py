"""Days and times as the tables have them, and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_day(day: date) -> int:
    """Whole days since 1970-01-01."""
    return day.toordinal() - _EPOCH_DAY


@lru_cache(maxsize=4096)  # a store's days are few, and come again in each row
def from_day(day: int) -> date:
    """The date of a day number; those in the store are within the years 1970 to 9999."""
    return date.fromordinal(day + _EPOCH_DAY)


def from_seconds(seconds: int) -> datetime:
    """The UTC time of a second."""
    return _EPOCH + timedelta(seconds=seconds)
