"""An arrival made ready: which report it is, what it says, and how its bytes are packed."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.builders import a_detail, a_report, an_arrival, an_entry, incoming
from tests.store.strategies import reports
from tlsrpt.core.report import DateRange, Report
from tlsrpt.store.rows import (
    MOST_SESSIONS,
    PreparedFault,
    PreparedReport,
    pack,
    prepare,
    storable,
    unpack,
    zlib_deflate,
)
from tlsrpt.store.values import Fault, IncomingReport


def prepared(report: Report | IncomingReport) -> PreparedReport:
    (item,) = prepare(an_arrival(report)).items
    assert isinstance(item, PreparedReport)
    return item


def rewindowed(report: Report, start: datetime, end: datetime) -> Report:
    return msgspec.structs.replace(report, date_range=DateRange(start_datetime=start, end_datetime=end))


TWO = an_entry("sts", details=(a_detail("a"), a_detail("b"))), an_entry("tlsa")


@pytest.mark.parametrize(
    ("other", "same_identity", "same_content"),
    [
        pytest.param(a_report(*TWO), True, True, id="the same"),
        pytest.param(a_report(*reversed(TWO)), True, True, id="policies in another order"),
        pytest.param(
            a_report(an_entry("sts", details=(a_detail("b"), a_detail("a"))), TWO[1]),
            True,
            True,
            id="details in another order",
        ),
        pytest.param(a_report(*TWO, contact_info="TLS@Sender.Example"), True, False, id="contact in capitals"),
        pytest.param(a_report(*TWO, contact_info="other@sender.example"), True, False, id="other box, same domain"),
        pytest.param(a_report(*TWO, organization_name="Other"), True, False, id="other name, same contact domain"),
        pytest.param(a_report(TWO[0], an_entry("tlsa", successful=11)), True, False, id="another count"),
        pytest.param(a_report(*TWO, an_entry("tlsa")), True, False, id="one more entry for the same domain"),
        pytest.param(a_report(*TWO, contact_info="tls@other.example"), False, False, id="another sender"),
        pytest.param(a_report(*TWO, report_id="2"), False, False, id="another report-id"),
        pytest.param(a_report(*TWO, report_id=None), False, False, id="no report-id"),
        pytest.param(a_report(*TWO, day=1), False, False, id="another day"),
        pytest.param(
            a_report(*TWO, an_entry("sts", "orchard.example")), False, False, id="F-26: same id, other domains"
        ),
    ],
)
def test_promise_2_identity_and_content(other: Report, same_identity: bool, same_content: bool) -> None:
    """Promise 2: identity from sender, id, window and domains; content from the parsed values, in whatever order."""
    one, two = prepared(a_report(*TWO)), prepared(other)
    assert (one.identity == two.identity, one.content == two.content) == (same_identity, same_content)


def test_a_window_is_an_instant_however_it_is_written() -> None:
    """The same instants with another offset are the same report."""
    utc, zone = a_report(), timezone(timedelta(hours=5, minutes=30))
    window = utc.date_range
    other = rewindowed(utc, window.start_datetime.astimezone(zone), window.end_datetime.astimezone(zone))
    assert prepared(utc).identity == prepared(other).identity
    assert prepared(utc).content == prepared(other).content


def test_without_contact_the_organisation_tells_the_sender() -> None:
    """F-24, F-25: contact-info may be null; host names of Stalwart then tell the senders apart."""
    one = a_report(contact_info=None, organization_name="Mail.Example")
    assert prepared(one).identity == prepared(a_report(contact_info=None, organization_name="mail.example")).identity
    assert prepared(one).identity != prepared(a_report(contact_info=None, organization_name="two.example")).identity


@pytest.mark.parametrize(
    ("extras", "same"),
    [
        ({"policies[1].policy.note": "x", "generator": {"b": 1, "a": 2}}, True),
        ({"policies[0].policy.note": "x", "generator": {"a": 2, "b": 1}}, False),
        ({"policies[1].policy.note": "y", "generator": {"a": 2, "b": 1}}, False),
        ({}, False),
    ],
)
def test_unknown_keys_are_part_of_what_a_report_says(extras: dict[str, object], same: bool) -> None:
    """F-45: an unknown key belongs to the entry that it stands in, wherever that entry stands."""
    one = prepared(incoming(a_report(*TWO), extras={"policies[0].policy.note": "x", "generator": {"a": 2, "b": 1}}))
    two = prepared(incoming(a_report(*reversed(TWO)), extras=extras))
    assert (one.content == two.content) is same


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        pytest.param(a_report(an_entry(successful=MOST_SESSIONS, failed=1)), "sessions", id="summaries"),
        pytest.param(a_report(an_entry(details=(a_detail(failed=2**63 - 1),))), "sessions", id="failure rows"),
        pytest.param(
            rewindowed(a_report(), datetime(1969, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)),
            "window",
            id="before 1970",
        ),
        pytest.param(
            rewindowed(
                a_report(),
                datetime(2026, 1, 1, tzinfo=UTC),
                datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
            ),
            "window",
            id="after 9999",
        ),
        pytest.param(
            rewindowed(
                a_report(), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime(2026, 1, 1, tzinfo=UTC)
            ),
            "window",
            id="year 1, east",
        ),
    ],
)
def test_what_no_query_could_add_up_goes_to_quarantine(report: Report, reason: str) -> None:
    """No report can make a sum overflow or a day unreadable; the others of its document are kept."""
    fault, good = prepare(an_arrival(incoming(report, where="a.json"), a_report())).items
    assert isinstance(fault, PreparedFault)
    assert reason in fault.reason
    assert fault.where == "a.json"
    assert isinstance(good, PreparedReport)


def test_faults_at_one_place_are_told_apart() -> None:
    fault = Fault(reason="no JSON", where="a.json")
    items = prepare(an_arrival(faults=(fault, fault, Fault(reason="no JSON")))).items
    assert [item.where for item in items if isinstance(item, PreparedFault)] == ["a.json", "a.json#2", ""]


def test_a_document_without_report_or_fault_is_nothing_to_keep() -> None:
    assert prepare(an_arrival(raw=b"a DMARC report")).items == ()


@given(st.text() | st.text("\x00\ud800\udfffa"))
def test_every_text_becomes_storable(text: str) -> None:
    """NUL and half surrogate pairs (JSON can hold both) would be refused by one engine or another."""
    stored = storable(text)
    assert "\0" not in stored
    assert stored.encode().decode() == stored
    assert storable(stored) == stored


@pytest.mark.parametrize("hostile", ["\0", "\ud800", "a\0\udfff", "\\u0000"])
def test_hostile_texts_reach_the_rows_as_escapes(hostile: str) -> None:
    """F-54: whatever text a report holds, its rows can be stored."""
    report = a_report(
        an_entry(hostile, details=(a_detail(hostile, failure_reason_code=hostile),), policy_string=(hostile,)),
        report_id=hostile,
        organization_name=hostile,
        contact_info=hostile,
    )
    item = prepared(incoming(report, where=hostile, extras={hostile: [hostile]}))
    for row in (item.report, *item.policies, *item.failures, *item.share.kinds):
        for value in row:
            if isinstance(value, str):
                assert "\0" not in value
                value.encode()


@given(st.binary(max_size=5000) | st.binary(max_size=50).map(lambda data: data * 2000))
def test_packed_bytes_come_back(raw: bytes) -> None:
    """Promise 6 stands on this: the document as received, byte for byte."""
    packing, packed = pack(raw)
    assert unpack(packing, packed) == raw
    assert len(packed) <= len(raw)
    assert unpack("deflate", zlib_deflate(raw)) == raw


def test_what_is_compressed_already_is_left_so() -> None:
    raw = gzip.compress(b"{}" * 500)
    assert pack(raw) == ("", raw)


@given(reports)
def test_what_is_prepared_pickles(report: Report) -> None:
    """Worker processes prepare, another writes."""
    whole = prepare(an_arrival(report))
    assert pickle.loads(pickle.dumps(whole)) == whole  # noqa: S301


@given(reports, st.randoms())
def test_order_changes_neither_identity_nor_content(report: Report, random: object) -> None:
    policies = list(report.policies)
    random.shuffle(policies)  # type: ignore[attr-defined]
    other = msgspec.structs.replace(report, policies=tuple(policies))
    assert prepared(report).identity == prepared(other).identity
    assert prepared(report).content == prepared(other).content


def test_keeping_needs_no_sqlalchemy() -> None:
    """Its import takes longer than keeping 5,000 reports (DESIGN, Libraries)."""
    code = "import sys, tlsrpt.store.rows, tlsrpt.store.sqlite; print('sqlalchemy' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
