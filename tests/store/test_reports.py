"""Lists of reports, one of them whole, and its bytes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings

from tests.store.builders import (
    FIRST_DAY,
    NOW,
    a_detail,
    a_report,
    an_arrival,
    an_entry,
    for_others,
    incoming,
    signed,
)
from tests.store.strategies import reports
from tests.store.test_keep import in_memory, keep
from tlsrpt.core.errors import StoreError
from tlsrpt.core.findings import Finding
from tlsrpt.core.report import Report
from tlsrpt.store.reports import (
    list_quarantine,
    list_reports,
    quarantine_by_id,
    raw_of_quarantine,
    raw_of_report,
    report_by_id,
)
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store
from tlsrpt.store.values import Fault, MailHeaders

FINDING = Finding(
    code="null-contact-info",
    severity="warning",
    where="contact-info",
    message="null",
    consequence="none",
    fix="fill it",
)


def test_one_report_whole(store: Store) -> None:
    """Promise 6: from an id to everything that is known of it, and to its bytes."""
    report = a_report(
        an_entry("sts", details=(a_detail(), a_detail("new-type", 2)), policy_string=("mode: testing",), failed=3),
        an_entry(None, "mx1.host.example", details=()),
    )
    headers = MailHeaders(sender="a@sender.example", report_domain="meadow.example", message_id="<1@sender.example>")
    one = incoming(report, report_domain="meadow.example", findings=(FINDING,), extras={"a": [1, None]}, where="a.gz")
    (kept,) = keep(store, an_arrival(one, raw=b"From: a\r\n\r\n", headers=headers))
    found = report_by_id(store, kept.id)
    assert found.report == report
    assert found.report_domains == ("meadow.example", "meadow.example")
    assert found.findings == (FINDING,)
    assert (found.extras, found.where, found.headers) == ({"a": [1, None]}, "a.gz", headers)
    assert (found.source, found.file_name, found.form) == ("file:/var/mail/1.eml", "1.eml", "message")
    assert (found.received_at, found.size_bytes, found.raw_kept) == (NOW, 11, True)
    assert (found.standing, found.dkim, found.dkim_domain) == ("counted", None, None)
    assert (found.counted, found.conflict_with, found.conflicts, found.sightings) == (True, None, (), ())
    assert raw_of_report(store, kept.id) == b"From: a\r\n\r\n"


@settings(max_examples=50, deadline=None)
@given(reports)
def test_a_kept_report_comes_back_equal(report: Report) -> None:
    """Rows hold the whole report; texts that can't be stored come back as escapes."""
    with in_memory() as store:
        (kept,) = keep(store, report)
        found = report_by_id(store, kept.id).report
        assert prepare(an_arrival(found)).items == prepare(an_arrival(report)).items
        if "\0" not in repr(report).replace("\\x00", "\0"):
            assert found == report


@pytest.mark.parametrize("id_", [0, -1, 2, 2**63, 10**30])
def test_an_id_that_names_nothing_says_so(store: Store, id_: int) -> None:
    keep(store, a_report())
    for ask in (report_by_id, raw_of_report):
        with pytest.raises(StoreError, match=f"no report {id_}"):
            ask(store, id_)
    for ask_ in (quarantine_by_id, raw_of_quarantine):
        with pytest.raises(StoreError, match=f"no quarantine entry {id_}"):
            ask_(store, id_)


@pytest.fixture
def many(store: Store) -> Store:
    """Ids 1 to 6: two domains, two senders, days backwards, a conflict, a failure, a finding."""
    keep(
        store,
        a_report(day=5, report_id="Alpha_1"),
        a_report(an_entry(failed=1, details=(a_detail(),)), day=4, report_id="beta"),
        a_report(an_entry("sts", "orchard.example"), day=4, contact_info="tls@other.example", report_id="100%"),
        an_arrival(incoming(a_report(day=3), findings=(FINDING,))),
        a_report(an_entry(successful=99), day=3),
        an_arrival(
            incoming(a_report(an_entry("tlsa", "mx1.host.example"), day=2), report_domain="meadow.example"), raw=b"x"
        ),
    )
    return store


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, [1, 3, 2, 5, 4, 6]),
        ({"domain": "meadow.example"}, [1, 2, 5, 4, 6]),
        ({"domain": "mx1.host.example"}, [6]),
        ({"domain": "none.example"}, []),
        ({"sender": "other.example"}, [3]),
        ({"since": date(2026, 3, 5)}, [1, 3, 2]),
        ({"until": date(2026, 3, 3)}, [6]),
        ({"since": date(2026, 3, 4), "until": date(2026, 3, 5), "domain": "meadow.example"}, [2, 5, 4]),
        ({"failed": True}, [2]),
        ({"conflict": True}, [5, 4]),
        ({"findings": True}, [4]),
        ({"text": "ALPHA_"}, [1]),
        ({"text": "100%"}, [3]),
        ({"text": "other"}, [3]),
        ({"text": "_"}, [1]),
    ],
)
def test_lists_newest_day_first(many: Store, filters: dict[str, object], ids: list[int]) -> None:
    """Filters, alone and together; a wildcard in a text is only a character."""
    assert [line.id for line in list_reports(many, **filters).reports] == ids  # type: ignore[arg-type]


@pytest.fixture
def mixed(store: Store) -> Store:
    """Ids 1 to 5: signed, signed by another, nobody looked, in conflict with the first, for others and not signed."""
    keep(
        store,
        an_arrival(signed(a_report(day=5))),
        an_arrival(incoming(a_report(day=4), dkim="pass-other", dkim_domain="list.example")),
        a_report(day=3),
        an_arrival(incoming(a_report(an_entry(successful=99), day=5), dkim="fail")),
        an_arrival(for_others(a_report(an_entry("sts", "them.example"), day=1), dkim="none")),
    )
    return store


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"standing": "counted"}, [1, 2, 3]),
        ({"standing": "conflict"}, [4]),
        ({"standing": "foreign"}, [5]),
        ({"conflict": True}, [4, 1]),
        ({"dkim": "pass"}, [1]),
        ({"dkim": "pass-other"}, [2]),
        ({"dkim": "none"}, [5]),
        ({"proven": True}, [1]),
        ({"proven": False}, [4, 2, 3, 5]),
        ({"proven": False, "standing": "counted", "domain": "meadow.example"}, [2, 3]),
        ({"domain": "them.example"}, [5]),
    ],
)
def test_lists_by_proof_and_standing(mixed: Store, filters: dict[str, object], ids: list[int]) -> None:
    """Whoever doubts a figure looks for what nobody signed, and for what stands apart."""
    assert [line.id for line in list_reports(mixed, **filters).reports] == ids  # type: ignore[arg-type]


def test_lists_and_single_reports_say_the_same_of_proof_and_standing(mixed: Store) -> None:
    for line in list_reports(mixed).reports:
        one = report_by_id(mixed, line.id)
        assert (one.standing, one.dkim, one.dkim_domain) == (line.standing, line.dkim, line.dkim_domain)
        assert one.counted is (line.standing == "counted")
    assert list_reports(mixed, dkim="pass-other").reports[0].dkim_domain == "list.example"


@pytest.mark.parametrize("domain", [None, "meadow.example"])
def test_pages_give_each_report_once(many: Store, domain: str | None) -> None:
    """A cursor, not an offset: what comes in meanwhile moves nothing."""
    whole = [line.id for line in list_reports(many, domain=domain).reports]
    seen: list[int] = []
    after: str | None = None
    while True:
        page = list_reports(many, domain=domain, limit=2, after=after)
        seen += [line.id for line in page.reports]
        if page.next is None:
            break
        after = page.next
        keep(many, a_report(day=20, report_id=f"late {after}"))
    assert seen == whole


@pytest.mark.parametrize("after", ["x", "1", "1-", "-1", "1-2-3", "²-1", "9" * 40 + "-1"])
def test_a_broken_cursor_is_an_error(store: Store, after: str) -> None:
    with pytest.raises(StoreError, match="no place in the list"):
        list_reports(store, after=after)


def test_an_endless_text_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="characters"):
        list_reports(store, text="x" * 100_000)


def test_a_line_says_what_a_list_shows(store: Store) -> None:
    keep(store, a_report(an_entry("sts", "a.example", failed=2), an_entry("sts", "b.example"), days=7))
    (line,) = list_reports(store).reports
    assert (line.standing, line.dkim, line.dkim_domain) == ("counted", None, None)
    assert (line.domains, line.successful, line.failed) == (("a.example", "b.example"), 20, 2)
    assert (line.day, line.start_datetime) == (FIRST_DAY.date(), FIRST_DAY)
    assert line.end_datetime == FIRST_DAY + timedelta(days=7, seconds=-1)
    assert (line.sender, line.organization_name) == ("sender.example", "Sender Inc.")


def test_quarantine_lists_what_waits_last_first(store: Store) -> None:
    for n in range(3):
        keep(store, an_arrival(raw=b"%d" % n, faults=(Fault(reason=f"reason {n}"),)))
    store.release(2, prepare(an_arrival(a_report(), raw=b"1")))
    assert [entry.id for entry in list_quarantine(store)] == [3, 1]
    assert [entry.id for entry in list_quarantine(store, state=None, limit=2)] == [3, 2]
    assert [entry.id for entry in list_quarantine(store, state=None, before=2)] == [1]
    assert [entry.id for entry in list_quarantine(store, state="released")] == [2]
    entry = quarantine_by_id(store, 3)
    assert (entry.reason, entry.size_bytes, entry.received_at, entry.raw_kept) == ("reason 2", 1, NOW, True)
