"""When a digest is due, and of which days it tells. No clock here: now is an argument, and what was sent is, too."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tlsrpt.config import DigestConfig
from tlsrpt.core.errors import ConfigError, DomainError
from tlsrpt.core.owned import Owned, parse_pattern
from tlsrpt.core.text import printable
from tlsrpt.insight.overview import SETTLED

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LENGTH = {"week": 7, "day": 1}


def days_told(every: str, today: date) -> tuple[date, date]:
    """The UTC days that a digest of today tells of: a week or a day, up to the last whose reports should be here."""
    until = today - SETTLED
    return until - timedelta(days=_LENGTH[every] - 1), until


def last_due(config: DigestConfig, now: datetime) -> datetime | None:
    """The latest moment up to now at which a digest was to be sent, in UTC; None where none ever is.

    Raises:
        ConfigError: there is no such time zone.
    """
    if config.every == "never" or not config.to:
        return None
    zone = zone_of(config)
    today = now.astimezone(zone).date()
    days = (today - timedelta(days=back) for back in range(9))  # a week, and a day to and fro for the hour
    if config.every == "week":
        days = (day for day in days if _DAYS[day.weekday()] == config.day)
    moments = (datetime.combine(day, time(config.hour), zone).astimezone(UTC) for day in days)
    return next(moment for moment in moments if moment <= now)


def due(config: DigestConfig, now: datetime, told_until: date | None) -> tuple[date, date] | None:
    """The UTC days of the digest that is to be sent now; None for none.

    Of several that were missed only the last is sent. Changing day or hour sends none a second time.

    Args:
        told_until: the last day that a digest has told of.
    """
    moment = last_due(config, now)
    if moment is None:
        return None
    since, until = days_told(config.every, moment.date())
    return (since, until) if told_until is None or until > told_until else None


def zone_of(config: DigestConfig) -> ZoneInfo:
    """The time zone that day and hour are meant in.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return ZoneInfo(config.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # ValueError: a path; OSError: a folder of zones
        what = f'no time zone of this name: "{printable(config.zone, 60)}"'
        raise ConfigError(what, where="digest.zone", fix="write one as Europe/Berlin, or UTC") from error


def scope_of(config: DigestConfig) -> Owned | None:
    """The domains that the digest is about; None for all.

    Raises:
        ConfigError: a text is no domain.
    """
    if not config.domains:
        return None
    patterns = []
    for n, text in enumerate(config.domains, 1):
        try:
            patterns.append(parse_pattern(text))
        except DomainError as error:
            raise ConfigError(error.what, where=f"digest.domains[{n}]", fix=error.fix) from error
    return Owned.made_of(patterns)
