"""What is told, and what is not: by count, share and usual level, once each, held back where it comes and goes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.notify.builders import an_incident
from tlsrpt.config import AlertsConfig
from tlsrpt.core.findings import Finding
from tlsrpt.insight.coverage import Coverage, SenderCoverage
from tlsrpt.insight.incident import Incident
from tlsrpt.insight.rhythm import ReportingState, Rhythm
from tlsrpt.notify.rules import LASTING, News, Notice, Seen, find_news
from tlsrpt.store.telling import Told

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CONFIG = AlertsConfig()


class Teller:
    """Looks again and again, and remembers as the store does."""

    def __init__(self, **config: Any) -> None:
        self.config = AlertsConfig(**config)
        self.told: dict[str, Told] = {}
        self.first = True

    def look(self, *incidents: Incident, now: datetime = NOW, **seen: Any) -> list[Notice]:
        news: News = find_news(Seen(incidents=incidents, **seen), self.told, self.config, now, first=self.first)
        self.first = False
        for key in news.forgotten:
            del self.told[key]
        self.told |= {each.key: each for each in news.told}
        return list(news.notices)

    def events(self, *incidents: Incident, now: datetime = NOW, **seen: Any) -> list[str]:
        return [notice.event for notice in self.look(*incidents, now=now, **seen)]


@pytest.fixture
def teller() -> Teller:
    """One who has looked before, when all was well."""
    teller = Teller()
    teller.look()
    return teller


def at(day: int, **values: Any) -> Incident:
    """The incident as it is told on a day of November: seen from the 19th until the day before, growing by 5 a day."""
    days = tuple((date(2026, 11, 19) + n * DAY, 5) for n in range(max(1, day - 19)))
    failed = sum(count for _, count in days)
    return an_incident(
        **{"by_day": days, "last_seen": days[-1][0], "failed": failed, "proven": failed, "total": 10 * failed, **values}
    )


def test_an_incident_is_told_once(teller: Teller) -> None:
    assert teller.events(at(25)) == ["opened"]
    assert teller.events(at(25), now=NOW + MINUTE) == []
    assert teller.events(at(26), now=NOW + DAY) == []


def test_of_what_opened_everything_is_said(teller: Teller) -> None:
    (notice,) = teller.look(at(25))
    assert (notice.key, notice.severity, notice.domains) == ("incident:abc2345", "error", ("meadow.example",))
    assert notice.command == "tlsrpt incidents abc2345"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"state": "watch"}, id="to watch"),
        pytest.param({"state": "unknown"}, id="nobody can tell"),
        pytest.param({"state": "quiet"}, id="over already, as history that is taken in later"),
        pytest.param({"mark": "resolved"}, id="marked as mended"),
        pytest.param({"mark": "ignored-until", "mark_until": date(2026, 12, 1)}, id="ignored"),
        pytest.param({"by_day": ((date(2026, 11, 24), 4),), "failed": 4, "total": 10}, id="too few"),
        pytest.param({"total": 100_000}, id="too small a share"),
    ],
)
def test_what_is_not_told(teller: Teller, values: dict[str, Any]) -> None:
    assert teller.events(at(25, **values)) == []


def test_many_are_told_whatever_their_share(teller: Teller) -> None:
    many = {"by_day": ((date(2026, 11, 24), 1_000),), "failed": 1_000, "total": 10_000_000}
    assert teller.events(at(25, **many)) == ["opened"]


def test_what_is_as_always_is_no_news(teller: Teller) -> None:
    """Five weeks of the same, which was too little to be told when it began."""
    days = tuple((date(2026, 10, 15) + n * DAY, 1) for n in range(41))
    usual = {"by_day": days, "first_seen": days[0][0], "failed": 41, "total": 1_000}
    assert teller.events(at(25, **usual)) == []
    grown = (*days[:-1], (days[-1][0], 10))
    assert teller.events(at(25, **usual | {"by_day": grown, "failed": 50})) == ["opened"]


def test_the_first_look_tells_what_is_open_however_old_it_is() -> None:
    days = tuple((date(2026, 10, 15) + n * DAY, 1) for n in range(41))
    old = at(25, by_day=days, first_seen=days[0][0], failed=41, total=1_000)
    assert Teller().events(old) == ["opened"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"by_day": ((date(2026, 11, 24), 100),), "failed": 100, "total": 1000}, "100 failed", id="count"),
        pytest.param({"total": 60}, "50.0% of the sessions", id="share"),
        pytest.param({"domains": tuple("abcd")}, "4 domains", id="domains"),
        pytest.param({"senders": tuple("abcd")}, "4 senders", id="senders"),
    ],
)
def test_it_is_told_when_it_is_worse_once_a_day_at_most(teller: Teller, values: dict[str, Any], says: str) -> None:
    teller.look(at(25))
    assert teller.events(at(25, **values), now=NOW + MINUTE) == []
    (notice,) = teller.look(at(25, **values), now=NOW + DAY)
    assert (notice.event, says in str(notice.said)) == ("worse", True)
    assert teller.events(at(25, **values), now=NOW + 3 * DAY) == []


def test_that_mail_suffers_more_is_told_at_once(teller: Teller) -> None:
    teller.look(at(25, consequence="delivered-unverified"))
    (notice,) = teller.look(at(25, consequence="refused"), now=NOW + MINUTE)
    assert (notice.event, notice.severity) == ("worse", "error")


def test_over_goes_to_who_knew_how_bad_it_was(teller: Teller) -> None:
    teller.look(at(25, consequence="refused"))
    (notice,) = teller.look(at(25, state="quiet", consequence="none"), now=NOW + DAY)
    assert (notice.event, notice.severity) == ("over", "error")
    assert teller.events(at(25, state="quiet"), now=NOW + 2 * DAY) == []


def test_that_nobody_can_tell_is_not_over(teller: Teller) -> None:
    """The senders stopped reporting: it is neither told nor forgotten."""
    teller.look(at(25))
    assert teller.events(at(25, state="unknown"), now=NOW + DAY) == []
    assert teller.events(at(25), now=NOW + 2 * DAY) == []


def test_a_mark_is_honoured_and_what_comes_after_it_is_told(teller: Teller) -> None:
    teller.look(at(25))
    assert teller.events(at(25, mark="resolved"), now=NOW + MINUTE) == []
    assert teller.events(at(26), now=NOW + DAY) == ["reopened"]


def test_what_comes_and_goes_is_held_back_until_it_stays_away(teller: Teller) -> None:
    teller.look(at(25))
    told = []
    for n in range(1, 8):
        told += teller.events(at(25 + n, state="quiet" if n % 2 else "open"), now=NOW + n * DAY)
    assert told == ["over", "reopened", "over", "reopened"]
    gone = at(32, state="quiet")
    assert teller.events(gone, now=NOW + 10 * DAY) == []
    assert teller.events(gone, now=NOW + 21 * DAY) == ["over"]


def test_what_it_would_be_without_unproven_reports_is_said_where_it_differs(teller: Teller) -> None:
    signed = a_coverage(a_sender(proven="some"))
    (notice,) = teller.look(at(25, proven=0), coverage=signed)
    assert "Only reports that no submitter signed" in str(notice.said)
    assert Teller(unproven=False).events(at(25, proven=0)) == []
    assert Teller(unproven=False).events(at(25)) == ["opened"]
    (notice,) = Teller().look(at(25), coverage=signed)
    assert notice.said == ()


def test_where_nobody_signs_it_says_nothing_that_one_is_not_signed(teller: Teller) -> None:
    (notice,) = teller.look(at(25, proven=0), coverage=a_coverage(a_sender(proven="none")))
    assert notice.said == ()


# --- Silence ----------------------------------------------------------------------------------------------------------


def a_rhythm(state: ReportingState = "reporting") -> Rhythm:
    day = date(2026, 11, 10)
    return Rhythm(
        state=state,
        kind="daily",
        days=60,
        span=60,
        longest=1,
        limit=3,
        only_failures=False,
        gap=12,
        last_day=day,
        expected=date(2026, 11, 22),
    )


def a_sender(name: str = "mail.example", state: ReportingState = "reporting", **values: Any) -> SenderCoverage:
    return SenderCoverage(
        **{
            "sender": name,
            "organization_name": None,
            "contact_info": None,
            "state": state,
            "why": "Nothing after 2026-11-10.",
            "loop": False,
            "rhythm": a_rhythm(state),
            "signed": None,
            "window": "day",
            "lateness": None,
            "proven": "all",
            "first_day": date(2026, 9, 1),
            "last_day": date(2026, 11, 10),
            "days": 60,
            "reports": 60,
            "successful": 600,
            "failed": 0,
            **values,
        }
    )


def a_coverage(*senders: SenderCoverage, together: ReportingState = "reporting") -> Coverage:
    return Coverage(
        since=date(2026, 8, 28),
        until=date(2026, 11, 25),
        senders=senders,
        together=a_rhythm(together),
        none_days=(),
        advice=("Look at our own side first.",),
    )


def test_a_sender_that_fell_silent_is_told_once_and_that_it_is_heard_again(teller: Teller) -> None:
    silent = a_coverage(a_sender(state="silent"), a_sender("other.example"))
    (notice,) = teller.look(coverage=silent)
    assert (notice.event, notice.key, notice.severity) == ("silent", "sender:mail.example", "warning")
    assert teller.events(coverage=silent, now=NOW + DAY) == []
    assert teller.events(coverage=a_coverage(a_sender()), now=NOW + 2 * DAY) == ["heard"]
    assert teller.events(coverage=a_coverage(a_sender()), now=NOW + 3 * DAY) == []


def test_a_small_sender_is_information_and_a_loop_is_nothing(teller: Teller) -> None:
    large = a_sender("large.example", successful=1_000_000)
    (notice,) = teller.look(coverage=a_coverage(large, a_sender(state="silent")))
    assert notice.severity == "info"
    assert Teller().events(coverage=a_coverage(large, a_sender(state="silent", loop=True))) == []


def test_that_nobody_reports_is_one_alert(teller: Teller) -> None:
    both = a_coverage(a_sender(state="silent"), a_sender("b.example", state="silent"), together="silent")
    (notice,) = teller.look(coverage=both)
    assert (notice.event, notice.key, notice.severity) == ("silent", "reports", "error")
    assert teller.events(coverage=a_coverage(a_sender(), a_sender("b.example")), now=NOW + DAY) == ["heard"]


def test_who_was_silent_before_anybody_looked_is_no_news() -> None:
    teller = Teller()
    silent = a_coverage(a_sender(state="silent"), together="silent")
    assert teller.events(coverage=silent, quarantined=7) == []
    assert teller.events(coverage=silent, quarantined=7, now=NOW + DAY) == []


# --- Ourselves --------------------------------------------------------------------------------------------------------


def test_the_quarantine_is_told_when_it_grows(teller: Teller) -> None:
    assert teller.events(quarantined=1) == ["quarantine"]
    assert teller.events(quarantined=3, now=NOW + MINUTE) == []
    assert teller.events(quarantined=3, now=NOW + DAY) == ["quarantine"]
    assert teller.events(quarantined=5, now=NOW + 2 * DAY) == []
    assert teller.events(quarantined=0, now=NOW + 3 * DAY) == []
    assert teller.events(quarantined=1, now=NOW + 3 * DAY) == ["quarantine"]


def a_finding(**values: Any) -> Finding:
    return Finding(
        **{"code": "source-trouble", "severity": "error", "where": "imap", "message": "refused", "fix": "f", **values}
    )


def test_a_trouble_of_our_own_is_told_once_it_lasts(teller: Teller) -> None:
    assert teller.events(findings=[a_finding()]) == []
    assert teller.events(findings=[], now=NOW + MINUTE) == []
    assert teller.events(findings=[a_finding()], now=NOW + DAY) == []
    assert teller.events(findings=[a_finding()], now=NOW + DAY + LASTING) == ["trouble"]
    assert teller.events(findings=[a_finding()], now=NOW + 2 * DAY) == []
    assert teller.events(findings=[], now=NOW + 3 * DAY) == ["well"]


def test_what_only_wants_to_be_known_is_no_trouble(teller: Teller) -> None:
    for now in (NOW, NOW + DAY):
        assert teller.events(findings=[a_finding(severity="warning"), a_finding(severity="info")], now=now) == []


def test_what_there_is_no_sign_of_is_forgotten(teller: Teller) -> None:
    teller.look(at(25))
    teller.look(now=NOW + 200 * DAY)
    assert teller.told == {}
    teller.told["incident:abc2345"] = replace(Told(key="incident:abc2345", state="open", at=NOW))
    teller.look(at(25), now=NOW + 200 * DAY)
    assert list(teller.told) == ["incident:abc2345"]
