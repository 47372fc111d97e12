"""Who reports, and what may be said of who does not: reports as they come in, judged as a person would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.store.builders import a_detail, a_report, an_arrival, an_entry, incoming, signed
from tlsrpt.core.findings import SENDERS_FAULT, Finding
from tlsrpt.insight.coverage import Coverage, SenderCoverage, days_to_look_at, find_coverage
from tlsrpt.insight.sender import find_sender
from tlsrpt.store.rows import prepare
from tlsrpt.store.senders import SenderDay
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.values import MailHeaders

DAY = date(2026, 3, 1)
NULL_CONTACT = Finding(
    code="null-contact-info",
    severity="warning",
    where="contact-info",
    message="contact-info is null",
    fix=SENDERS_FAULT,
)
BROKEN_ON_THE_WAY = Finding(
    code="mime-boundary",
    severity="warning",
    where="message",
    message="the mail is cut",
    fix="or of a mail system on the way",
)


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(str(tmp_path_factory.mktemp("coverage") / "tlsrpt.db"), create=True) as opened:
        yield opened


def midnight(day: int) -> datetime:
    return datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=day)


def keep(
    store: Store,
    sender: str,
    days: Iterable[int],
    *,
    good: int = 10,
    failed: int = 0,
    domain: str = "meadow.example",
    window: int = 1,
    late_h: float = 6,
    proven: bool = False,
    sent_h: float | None = None,
    findings: tuple[Finding, ...] = (),
) -> None:
    """Reports of one sender on these days; each comes so many hours after its window."""
    prepared = []
    for day in days:
        details = (a_detail(failed=failed),) if failed else ()
        report = a_report(
            an_entry("sts", domain, successful=good, failed=failed, details=details),
            day=day, days=window, report_id=f"{day}-{domain}", contact_info=f"tls@{sender}", organization_name=sender.title(),
        )  # fmt: skip
        end = midnight(day + window)
        came = end + timedelta(hours=late_h)
        headers = (
            None if sent_h is None else MailHeaders(date=f"{end + timedelta(hours=sent_h):%a, %d %b %Y %H:%M:%S +0000}")
        )
        one = signed(report) if proven else incoming(report)
        prepared.append(prepare(an_arrival(replace(one, findings=findings), received_at=came, headers=headers)))
    store.keep(prepared)


def asked(store: Store, today: int, **values: Any) -> Coverage:
    now = DAY + timedelta(days=today)
    return find_coverage(store, **({"since": DAY, "until": now, "today": now} | values))


def states(found: Coverage) -> dict[str, str]:
    return {one.sender: one.state for one in found.senders}


def one_of(found: Coverage, sender: str) -> SenderCoverage:
    return next(one for one in found.senders if one.sender == sender)


def test_silent_ones_come_first_and_hardly_seen_ones_last(store: Store) -> None:
    keep(store, "big.example", range(60))
    keep(store, "ceased.example", range(40))
    keep(store, "new.example", range(55, 58))
    found = asked(store, 61)
    assert states(found) == {"ceased.example": "silent", "big.example": "reporting", "new.example": "not-enough-seen"}
    assert [one.sender for one in found.senders] == ["ceased.example", "big.example", "new.example"]
    assert one_of(found, "ceased.example").why == (
        "Nothing after 2026-04-09: 20 days up to 2026-04-29, the last that should be here. Its longest break before was "
        "1 day."
    )
    assert found.advice == ()  # one of two: nothing says that it is us


def test_what_may_still_be_on_the_way_is_no_silence(store: Store) -> None:
    """F-51: a sender whose reports come five days late is not silent after five days."""
    keep(store, "late.example", range(60), late_h=5 * 24)
    keep(store, "quick.example", range(60))
    found = asked(store, 66)
    assert states(found) == {"late.example": "reporting", "quick.example": "silent"}
    assert one_of(found, "late.example").rhythm.expected == DAY + timedelta(days=60)


def test_an_old_mailbox_read_in_at_once_makes_nobody_late(store: Store) -> None:
    """The mail's own Date counts where it is earlier than our taking it in."""
    keep(store, "big.example", range(30), late_h=24 * 365, sent_h=7)
    late = one_of(asked(store, 31), "big.example").lateness
    assert late is not None
    assert (late.usual_hours, late.most_hours) == (7, 7)


def test_weekly_windows_are_waited_for(store: Store) -> None:
    """D-75: the report on a week comes after the week."""
    keep(store, "weekly.example", range(0, 84, 7), window=7)
    found = one_of(asked(store, 91), "weekly.example")
    assert (found.state, found.window, found.rhythm.kind) == ("reporting", "week", "weekly")
    assert found.rhythm.expected == DAY + timedelta(days=83)
    assert one_of(asked(store, 108), "weekly.example").state == "silent"


def test_when_all_fall_silent_it_is_asked_whether_it_is_us(store: Store) -> None:
    for sender in ("a.example", "b.example", "c.example"):
        keep(store, sender, range(40))
    found = asked(store, 50)
    assert set(states(found).values()) == {"silent"}
    assert found.together is not None
    assert found.together.state == "silent"
    assert "more likely us than all of them" in found.advice[0]
    assert found.none_days == ((DAY + timedelta(days=40), DAY + timedelta(days=48)),)


def test_when_most_cease_at_once_our_side_is_looked_at_first(store: Store) -> None:
    for sender in ("a.example", "b.example"):
        keep(store, sender, range(40))
    keep(store, "c.example", range(60))
    assert asked(store, 61).advice[0].startswith("2 of 3 senders ceased at about the same time.")


def test_a_loop_of_report_mails_is_no_traffic(store: Store) -> None:
    """D-74, F-52: one good session a day, and no other."""
    keep(store, "loop.example", range(30), good=1)
    keep(store, "small.example", range(30), good=1)
    keep(store, "small.example", [12], good=3, domain="orchard.example")
    found = asked(store, 31)
    assert one_of(found, "loop.example").loop
    assert "No traffic." in one_of(found, "loop.example").why
    assert not one_of(found, "small.example").loop  # it sends something else, too
    small = find_sender(store, "small.example", since=DAY, until=found.until, today=found.until)
    assert {one.domain: one.loop for one in small.domains} == {"meadow.example": True, "orchard.example": False}


def test_who_reports_only_failures_may_be_silent_for_joy(store: Store) -> None:
    keep(store, "mox.example", range(0, 60, 2), good=3, failed=2)
    found = one_of(asked(store, 90), "mox.example")
    assert found.state == "not-enough-seen"
    assert "it may report only those, as some do, and have nothing to say" in found.why


def test_unsigned_reports_hide_no_silence(store: Store) -> None:
    """Anybody can make up a report: where the signed ones cease, that is said."""
    keep(store, "big.example", range(40), proven=True)
    keep(store, "big.example", range(40, 60))
    found = one_of(asked(store, 61), "big.example")
    assert (found.state, found.proven) == ("reporting", "some")
    assert found.signed is not None
    assert found.signed.state == "silent"
    assert "Its signed reports ceased after 2026-04-09" in found.why


def test_figures_are_of_the_days_asked_for_and_rhythms_of_more(store: Store) -> None:
    keep(store, "ceased.example", range(40), failed=1)
    until = DAY + timedelta(days=60)
    found = one_of(asked(store, 60, since=until - timedelta(days=6)), "ceased.example")
    assert (found.state, found.days, found.reports, found.first_day) == ("silent", 0, 0, None)
    whole = one_of(asked(store, 60), "ceased.example")
    assert (whole.reports, whole.successful, whole.failed, whole.last_day) == (40, 400, 40, DAY + timedelta(days=39))


def test_a_sender_is_judged_on_each_domain_for_itself(store: Store) -> None:
    """The record of one domain went: the others are still reported on."""
    keep(store, "big.example", range(60), findings=(NULL_CONTACT, BROKEN_ON_THE_WAY))
    keep(store, "big.example", range(30), domain="orchard.example", findings=(NULL_CONTACT,))
    until = DAY + timedelta(days=61)
    whole = find_sender(store, "big.example", since=DAY, until=until, today=until)
    assert [(one.domain, one.state) for one in whole.domains] == [
        ("orchard.example", "silent"),
        ("meadow.example", "reporting"),
    ]
    assert [(share.policy_type, share.reports) for share in whole.policies] == [("sts", 90)]
    only = find_sender(store, "big.example", since=DAY, until=until, today=until, domain="orchard.example")
    assert (only.coverage.state, [one.reports for one in only.deviations]) == ("silent", [30])


def test_a_domain_whose_record_went_is_named(store: Store) -> None:
    """One domain of three is not reported on any more; another never was often."""
    for sender in ("big.example", "small.example"):
        keep(store, sender, range(60))
        keep(store, sender, range(40), domain="orchard.example")
    keep(store, "big.example", [3, 20, 31], domain="seldom.example")
    found = asked(store, 61)
    (gone,) = found.silent_domains
    assert (gone.domain, gone.rhythm.last_day, gone.senders) == (
        "orchard.example",
        DAY + timedelta(days=39),
        ("big.example", "small.example"),
    )
    assert set(states(found).values()) == {"reporting"}
    assert asked(store, 80).silent_domains == ()  # nobody reports on anything: that is another matter


def test_deviations_come_with_words_for_the_sender(store: Store) -> None:
    """What a mail system on the way may have done is not put to the sender."""
    keep(store, "big.example", range(20), findings=(NULL_CONTACT, BROKEN_ON_THE_WAY))
    until = DAY + timedelta(days=20)
    whole = find_sender(store, "big.example", since=DAY + timedelta(days=10), until=until, today=until)
    assert [(one.code, one.reports, one.senders_fault) for one in whole.deviations] == [
        ("mime-boundary", 10, False),
        ("null-contact-info", 10, True),
    ]
    assert whole.deviations[1].example_report_id == "19-meadow.example"
    assert "contact-info is null, at contact-info" in whole.words
    assert (
        "in 10 reports, 2026-03-11 to 2026-03-20; for example report-id 19-meadow.example of 2026-03-20" in whole.words
    )
    assert "the mail is cut" not in whole.words


def test_two_who_report_seldom_are_not_silenced_by_each_others_breaks(store: Store) -> None:
    """Weeks on which neither reported are usual, and no break of ours."""
    for sender, first in (("a.example", 0), ("b.example", 1)):
        keep(store, sender, range(first, 84, 7), window=7)
    assert set(states(asked(store, 94)).values()) == {"reporting"}


def test_a_sender_that_was_late_long_ago_is_not_waited_for_today(store: Store) -> None:
    """Its last fourteen days count, whatever days others are looked up by."""
    keep(store, "big.example", range(20), late_h=12 * 24)
    keep(store, "big.example", range(20, 60))
    keep(store, "gone.example", range(10))
    assert one_of(asked(store, 75), "big.example").rhythm.expected == DAY + timedelta(days=73)


def test_no_report_is_an_answer_too(store: Store) -> None:
    found = asked(store, 10)
    assert (found.senders, found.together, found.none_days) == ((), None, ())


def test_what_is_looked_at_is_bounded() -> None:
    """A million reports: the newest day of everyone, as long as there is room."""
    rows = [
        SenderDay(sender=f"s{n}", day=DAY + timedelta(days=day), reports=11_000, proven=0, total=1, failed=0)
        for n in range(2)
        for day in range(90)
    ]
    assert days_to_look_at(rows) == {DAY + timedelta(days=day) for day in (88, 89)}
    few = [replace(row, reports=1) for row in rows]
    assert len(days_to_look_at(few)) == 14
