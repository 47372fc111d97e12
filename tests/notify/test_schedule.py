"""When a digest is due: once for each period, never twice, the last one after a pause."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tlsrpt.config import DigestConfig
from tlsrpt.core.errors import ConfigError
from tlsrpt.notify.schedule import due, last_due, scope_of, zone_of

TO = ("postmaster@meadow.example",)
WEEKLY = DigestConfig(to=TO)
DAILY = DigestConfig(to=TO, every="day")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("config", "now", "moment"),
    [
        pytest.param(WEEKLY, "2026-11-23 07:59", "2026-11-16 08:00", id="a minute before"),
        pytest.param(WEEKLY, "2026-11-23 08:00", "2026-11-23 08:00", id="on the minute"),
        pytest.param(WEEKLY, "2026-11-29 23:59", "2026-11-23 08:00", id="the Sunday after"),
        pytest.param(DAILY, "2026-11-25 03:00", "2026-11-24 08:00", id="daily, at night"),
        pytest.param(
            DigestConfig(to=TO, zone="Europe/Berlin"), "2026-11-23 07:00", "2026-11-23 07:00", id="winter in Berlin"
        ),
        pytest.param(
            DigestConfig(to=TO, zone="Europe/Berlin"), "2026-07-06 06:00", "2026-07-06 06:00", id="summer in Berlin"
        ),
        pytest.param(
            DigestConfig(to=TO, zone="Pacific/Kiritimati", hour=0),
            "2026-11-22 10:00",
            "2026-11-22 10:00",
            id="Monday there, Sunday in UTC",
        ),
        pytest.param(
            DigestConfig(to=TO, every="day", zone="Europe/Berlin", hour=2),
            "2026-03-29 12:00",
            "2026-03-29 01:00",
            id="an hour that the clock leaves out",
        ),
    ],
)
def test_the_last_moment_is_that_of_day_hour_and_zone(config: DigestConfig, now: str, moment: str) -> None:
    assert last_due(config, at(now)) == at(moment)


@pytest.mark.parametrize("config", [DigestConfig(), DigestConfig(to=TO, every="never")])
def test_without_a_recipient_or_with_never_none_is_due(config: DigestConfig) -> None:
    assert due(config, at("2026-11-23 09:00"), None) is None


def test_a_digest_is_due_once_however_often_the_service_starts() -> None:
    """A week tells of the seven days up to two days ago; then none is due until the next Monday."""
    now, told, sent = at("2026-11-16 09:00"), date(2026, 11, 14), []
    while now < at("2026-12-08 00:00"):
        days = due(WEEKLY, now, told)
        if days is not None:
            sent.append(days)
            told = days[1]
        now += timedelta(minutes=37)
    assert sent == [
        (date(2026, 11, 15), date(2026, 11, 21)),
        (date(2026, 11, 22), date(2026, 11, 28)),
        (date(2026, 11, 29), date(2026, 12, 5)),
    ]


def test_after_a_long_pause_only_the_last_one_is_sent() -> None:
    assert due(WEEKLY, at("2026-11-24 15:00"), date(2026, 10, 3)) == (date(2026, 11, 15), date(2026, 11, 21))
    assert due(DAILY, at("2026-11-24 15:00"), date(2026, 10, 3)) == (date(2026, 11, 22), date(2026, 11, 22))


def test_another_hour_sends_none_a_second_time() -> None:
    told = date(2026, 11, 21)
    later = DigestConfig(to=TO, hour=10)
    assert due(later, at("2026-11-23 10:30"), told) is None
    assert due(later, at("2026-11-30 10:30"), told) == (date(2026, 11, 22), date(2026, 11, 28))


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "/etc/localtime", "a\0b", "x" * 300]
)
def test_a_wrong_time_zone_is_told(zone: str) -> None:
    with pytest.raises(ConfigError, match=r"digest\.zone: no time zone of this name"):
        zone_of(DigestConfig(zone=zone))


def test_domains_may_be_patterns_and_a_wrong_one_is_named() -> None:
    scope = scope_of(DigestConfig(domains=("Meadow.example", "*.fleet.example")))
    assert scope is not None
    assert scope.owns("meadow.example")
    assert scope.owns("a.fleet.example")
    assert scope_of(DigestConfig()) is None
    with pytest.raises(ConfigError, match=r"digest\.domains\[2\]: .*no domain"):
        scope_of(DigestConfig(domains=("a.example", "no domain")))
