"""Sessions, failures and policies under MTA-STS alone, as sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.store.builders import FIRST_DAY, a_detail, a_report, an_arrival, an_entry, for_others, incoming, signed
from tlsrpt.core.report import PolicyResult
from tlsrpt.store.policies_seen import policies_on, policies_seen
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sts import failing_under_sts, sts_days, sts_failures, sts_senders
from tlsrpt.store.values import IncomingReport

DAY = FIRST_DAY.date()
NEXT = DAY + timedelta(days=1)
MEADOW = "meadow.example"
LINES = ("version: STSv1", "mode: testing", "mx: mx.meadow.example", "max_age: 86400")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(str(tmp_path / "s.db"), create=True) as store:
        yield store


def keep(store: Store, *reports: IncomingReport) -> None:
    store.keep([prepare(an_arrival(each, source=f"s{number}")) for number, each in enumerate(reports)])


def both(sts_failed: int, tlsa_failed: int) -> tuple[PolicyResult, PolicyResult]:
    """The same sessions under both policies, as Microsoft lists them (F-31)."""
    rows = [
        (a_detail(failed=failed, receiving_mx_hostname="mx.meadow.example"),) for failed in (sts_failed, tlsa_failed)
    ]
    return (
        an_entry(policy_domain=MEADOW, successful=10, failed=sts_failed, details=rows[0], policy_string=LINES),
        an_entry("tlsa", MEADOW, successful=10, failed=tlsa_failed, details=rows[1]),
    )


@pytest.mark.parametrize(("sts", "tlsa"), [(7, 7), (7, 9), (9, 7)])
def test_sessions_under_mta_sts_count_whatever_dane_has(store: Store, sts: int, tlsa: int) -> None:
    """Where the other type has more, promise 7 counts nothing here; what is asked is what MTA-STS would do."""
    keep(store, incoming(a_report(*both(sts, tlsa))))
    (day,) = sts_days(store, MEADOW, since=DAY, until=NEXT)
    assert (day.sender, day.day, day.reports, day.total, day.failed) == ("sender.example", DAY, 1, 10 + sts, sts)
    (row,) = sts_failures(store, MEADOW, since=DAY, until=NEXT)
    assert (row.policy_type, row.policy_mode, row.result_type, row.failed) == (
        "sts",
        "testing",
        "certificate-expired",
        sts,
    )
    assert failing_under_sts(store, domain=None, since=DAY, until=NEXT) == [
        (MEADOW, "sender.example", DAY, "certificate-expired", "", sts)
    ]


def test_each_domain_and_sender_with_its_days(store: Store) -> None:
    other = an_entry(policy_domain="brook.example", successful=3)
    keep(
        store,
        incoming(a_report(an_entry(), other, report_id="1")),
        incoming(a_report(an_entry(), report_id="2", day=1)),
        incoming(a_report(an_entry("no-policy-found"), report_id="3", day=2)),
    )
    until = DAY + timedelta(days=5)
    found = sts_senders(store, domain=None, since=DAY, until=until)
    assert [(one.domain, one.days, one.reports, one.total, one.last_day) for one in found] == [
        ("brook.example", 1, 1, 3, DAY),
        (MEADOW, 2, 2, 20, NEXT),
    ]
    assert sts_senders(store, domain=MEADOW, since=DAY, until=until) == found[1:]
    assert sts_senders(store, domain=MEADOW, since=NEXT + timedelta(days=1), until=until) == []


def test_a_policy_domain_is_found_like_a_report_domain(store: Store) -> None:
    """DESIGN promise 8."""
    keep(
        store,
        incoming(a_report(an_entry(policy_domain="mail.meadow.example", policy_string=LINES)), report_domain=MEADOW),
    )
    for name in (MEADOW, "mail.meadow.example"):
        assert [day.total for day in sts_days(store, name, since=DAY, until=NEXT)] == [10]
        assert [seen.policy_string for seen in policies_seen(store, name, since=DAY, until=NEXT)] == [LINES]


def test_policies_by_day_and_sender(store: Store) -> None:
    quoted = an_entry(policy_string=LINES, failed=1)
    keep(store, incoming(a_report(quoted)), signed(a_report(an_entry(), report_id="2", day=1)))
    first, second = policies_seen(store, MEADOW, since=DAY, until=NEXT)
    assert (first.day, first.policy_string) == (DAY, LINES)
    assert (first.successful, first.failed) == (10, 1)
    assert (second.day, second.policy_string) == (NEXT, ())
    assert policies_seen(store, MEADOW, since=DAY, until=NEXT, proven_only=True) == [second]
    assert policies_on(store, [(MEADOW, DAY), ("brook.example", DAY)]) == {MEADOW: {LINES}}


def test_what_does_not_count_is_not_seen(store: Store) -> None:
    """Reports for domains that are not ours, and other policy types."""
    keep(
        store,
        for_others(a_report(an_entry(policy_string=LINES))),
        incoming(a_report(an_entry("tlsa", policy_string=("3 1 1 aa",)), report_id="2")),
    )
    assert sts_days(store, MEADOW, since=DAY, until=NEXT) == []
    assert policies_seen(store, MEADOW, since=DAY, until=NEXT) == []


def test_unsigned_sessions_are_left_out_where_asked(store: Store) -> None:
    keep(store, signed(a_report(*both(1, 1))), incoming(a_report(*both(5, 5), report_id="2")))
    span: dict[str, date] = {"since": DAY, "until": NEXT}
    assert [day.failed for day in sts_days(store, MEADOW, **span, proven_only=True)] == [1]
    assert [row.failed for row in sts_failures(store, MEADOW, **span, proven_only=True)] == [1]
