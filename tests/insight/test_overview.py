"""How it stands: two periods side by side, what needs someone, and what is told as of today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.store.builders import FIRST_DAY, a_detail, a_report, an_arrival, an_entry, incoming, signed
from tlsrpt.core.owned import Owned
from tlsrpt.core.report import PolicyResult
from tlsrpt.insight.overview import Overview, failed_within, find_overview
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store

FIRST = FIRST_DAY.date()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "s.db"), create=True) as store:
        yield store


def reported(
    store: Store, day: int, *entries: PolicyResult, sender: str = "sender.example", proven: bool = False
) -> None:
    report = a_report(*entries, day=day, report_id=f"{sender}-{day}", contact_info=f"tls@{sender}")
    store.keep([prepare(an_arrival(signed(report) if proven else incoming(report), source=f"{sender}-{day}"))])


def expired(domain: str = "meadow.example", failed: int = 4, successful: int = 6) -> PolicyResult:
    rows = (a_detail(failed=failed, receiving_mx_hostname=f"mx.{domain}"),)
    return an_entry(policy_domain=domain, successful=successful, failed=failed, details=rows)


def fine(domain: str = "meadow.example", successful: int = 10) -> PolicyResult:
    return an_entry(policy_domain=domain, successful=successful)


def a_week(store: Store, *, until: int = 13, today: int = 15, days: int = 7, scope: Owned | None = None) -> Overview:
    def day(n: int) -> date:
        return FIRST + timedelta(days=n)

    return find_overview(store, since=day(until - days + 1), until=day(until), today=day(today), scope=scope)


def test_a_period_stands_beside_the_one_before(store: Store) -> None:
    for day in range(14):
        reported(store, day, fine(successful=10 if day < 7 else 20))
    reported(store, 12, fine("brook.example", 5), sender="other.example")
    seen = a_week(store)
    assert (seen.before.domains, seen.before.senders, seen.before.sessions, seen.before.failed) == (1, 1, 70, 0)
    assert (seen.now.domains, seen.now.senders, seen.now.sessions, seen.now.failed) == (2, 2, 145, 0)
    assert [part.sessions for part in seen.parts] == [20, 20, 20, 20, 20, 25, 20]
    assert seen.verdict == "nothing-to-do"
    assert seen.latest == FIRST + timedelta(days=13)


def test_an_incident_is_told_as_of_today(store: Store) -> None:
    """It began after the period's last day: the week was fine, and something is to be done all the same."""
    for day in range(14):
        reported(store, day, fine())
    reported(store, 14, expired())
    seen = a_week(store)
    assert seen.now.failed == 0
    assert seen.verdict == "act"
    assert seen.new == (seen.open[0].id,)
    assert [(one.domain, one.failed, one.incidents) for one in seen.domains] == [("meadow.example", 0, seen.new)]
    assert failed_within(seen.open[0], seen.since, seen.today) == 4


def test_what_goes_on_is_not_new_and_what_ended_is_over(store: Store) -> None:
    for day in range(14):
        reported(store, day, expired(), expired("brook.example") if day < 9 else fine("brook.example"))
    seen = a_week(store)
    assert [one.domains for one in seen.open] == [("meadow.example",)]
    assert seen.new == seen.again == ()
    assert [one.domains for one in seen.over] == [("brook.example",)]


def test_the_worst_of_these_days_comes_first(store: Store) -> None:
    """Whatever was worse before, and goes on by a session here and there."""
    for day in range(20):
        old, new = expired(failed=900 if day < 10 else 1), expired("brook.example", failed=50)
        reported(store, day, old, new if day > 13 else fine("brook.example"))
    seen = a_week(store, until=19, today=21)
    assert [one.domains for one in seen.open] == [("brook.example",), ("meadow.example",)]


def test_what_came_back_is_told_so(store: Store) -> None:
    for day in range(40):
        reported(store, day, expired() if day in (1, 2, 38, 39) else fine())
    seen = a_week(store, until=39, today=41)
    assert (seen.new, seen.again) == ((), (seen.open[0].id,))


def test_an_old_incident_whose_senders_ceased_is_not_open_and_not_over(store: Store) -> None:
    reported(store, 1, expired(failed=400), sender="gone.example")
    reported(store, 2, expired(failed=400), sender="gone.example")
    for day in range(14):
        reported(store, day, fine("brook.example"))
    seen = a_week(store)
    assert (seen.open, [one.senders for one in seen.unsure]) == ((), [("gone.example",)])
    assert seen.verdict == "nothing-to-do"


def test_marked_incidents_ask_for_nobody(store: Store) -> None:
    from datetime import UTC, datetime

    from tlsrpt.insight.identity import sightings
    from tlsrpt.store.sqlite_memory import mark

    for day in range(14):
        reported(store, day, expired())
    (incident,) = a_week(store).open
    now = datetime(2026, 3, 15, tzinfo=UTC)
    mark(store, sightings([incident])[0], "ignored-until", day=date(2026, 4, 1), now=now)
    seen = a_week(store)
    assert (seen.open, seen.domains, seen.aside, seen.verdict) == ((), (), 1, "nothing-to-do")


def test_without_a_report_nothing_is_fine(store: Store) -> None:
    for day in range(6):
        reported(store, day, fine())
    seen = a_week(store)
    assert seen.verdict == "no-reports"
    assert seen.before.sessions == 60
    assert seen.latest == FIRST + timedelta(days=5)


def test_a_domain_on_which_no_report_comes_any_more_needs_someone_once(store: Store) -> None:
    """Told in the period in which its silence outgrew its rhythm; a scope that leaves it out does not tell it."""
    for day in range(40):
        reported(store, day, fine("brook.example"), *([fine()] if day < 20 else []))
    seen = a_week(store, until=26, today=28)
    assert [(one.domain, one.rhythm.last_day) for one in seen.ceased] == [
        ("meadow.example", FIRST + timedelta(days=19))
    ]
    assert seen.verdict == "act"
    assert a_week(store, until=39, today=41).ceased == ()
    scope = Owned.of(["brook.example", "*.fleet.example"])
    assert a_week(store, until=26, today=28, scope=scope).ceased == ()


def test_it_can_be_about_some_domains_alone(store: Store) -> None:
    """As one name, or as patterns: figures and incidents are of these, whoever else meets them."""
    for day in range(14):
        reported(store, day, expired(), expired("a.fleet.example"), fine("b.fleet.example"), expired("brook.example"))
    for scope, domains in ((["meadow.example"], 1), (["*.fleet.example", "meadow.example"], 3)):
        seen = a_week(store, scope=Owned.of(scope))
        assert seen.now.domains == domains
        assert {name for one in seen.open for name in one.domains} <= {"meadow.example", "a.fleet.example"}
        assert set(seen.scope) == set(scope)
    assert len(a_week(store).open) == 3


@pytest.mark.parametrize("scope", [None, ["meadow.example"], ["meadow.example", "*.fleet.example"]])
def test_failures_without_details_need_someone_whatever_it_is_about(store: Store, scope: list[str] | None) -> None:
    for day in range(14):
        reported(store, day, an_entry(successful=6, failed=4))
    seen = a_week(store, scope=None if scope is None else Owned.of(scope))
    assert (seen.verdict, [one.domains for one in seen.open]) == ("act", [("meadow.example",)])


def test_a_sender_that_fell_silent_is_told_when_it_did_and_not_for_ever(store: Store) -> None:
    for day in range(60):
        reported(store, day, fine(), sender="steady.example")
        if day < 40:
            reported(store, day, fine(), sender="gone.example")
    assert [one.sender for one in a_week(store, until=46, today=48).silent] == ["gone.example"]
    assert a_week(store, until=59, today=61).silent == ()


def test_whether_any_report_is_signed_is_known(store: Store) -> None:
    for day in range(14):
        reported(store, day, fine(), proven=day == 13)
    assert a_week(store).signed
    assert not a_week(store, until=12).signed


def test_a_long_period_has_a_bar_for_some_days_each(store: Store) -> None:
    for day in range(90):
        reported(store, day, fine())
    parts = a_week(store, until=89, today=91, days=90).parts
    assert len(parts) == 13
    assert sum(part.sessions for part in parts) == 900
    assert (parts[0].first, parts[-1].last) == (FIRST, FIRST + timedelta(days=89))
    assert all(late.first - early.last == timedelta(days=1) for early, late in pairwise(parts))
