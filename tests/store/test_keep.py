"""DESIGN promises 1 and 2 in the store: every report is kept, and counted once."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.builders import NOW, a_detail, a_report, an_arrival, an_entry, incoming, rows_of
from tests.store.strategies import arrivals, reports
from tlsrpt.core.errors import StoreBusyError, StoreError
from tlsrpt.core.report import Report
from tlsrpt.store.figures import summary
from tlsrpt.store.reports import list_quarantine, list_reports, raw_of_quarantine, raw_of_report, report_by_id
from tlsrpt.store.rows import MOST_SESSIONS, prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_check import check
from tlsrpt.store.sqlite_facts import MOST_SIGHTINGS
from tlsrpt.store.values import Arrival, Fault, Kept

TALLIES = ("tally", "failure_tally", "failure_kind", "domain")
ALWAYS = {"since": date(1970, 1, 1), "until": date(9999, 12, 31)}


def keep(store: Store, *some: Arrival | Report) -> list[Kept]:
    """Keep each document in a transaction of its own."""
    kept: list[Kept] = []
    for one in some:
        kept += store.keep([prepare(one if isinstance(one, Arrival) else an_arrival(one))])[0]
    return kept


def results(kept: Sequence[Kept]) -> list[str]:
    return [one.result for one in kept]


def sessions(store: Store, domain: str | None = None) -> tuple[int, int, int]:
    totals = summary(store, domain=domain, **ALWAYS).totals
    return totals.reports, totals.successful, totals.failed


TWO = an_entry("sts", details=(a_detail(),), failed=1), an_entry("tlsa")


@pytest.mark.parametrize(
    ("first", "second", "expected", "counted"),
    [
        pytest.param(an_arrival(a_report()), an_arrival(a_report()), "known", 1, id="the same document"),
        pytest.param(
            an_arrival(a_report(), raw=b"a mail"), an_arrival(a_report(), raw=b"a body"), "known", 1, id="another way"
        ),
        pytest.param(
            an_arrival(incoming(a_report())),
            an_arrival(incoming(a_report(), where="x.zip/a.json"), raw=b"zip"),
            "known",
            1,
            id="re-wrapped",
        ),
        pytest.param(
            an_arrival(a_report(*TWO)), an_arrival(a_report(*reversed(TWO))), "known", 1, id="entries in another order"
        ),
        pytest.param(
            an_arrival(a_report(an_entry(successful=5))),
            an_arrival(a_report(an_entry(successful=6))),
            "conflict",
            1,
            id="same id, other content",
        ),
        pytest.param(
            an_arrival(a_report(an_entry("sts", "a.example"))),
            an_arrival(a_report(an_entry("sts", "b.example"))),
            "new",
            2,
            id="F-26: same id for another domain",
        ),
        pytest.param(
            an_arrival(a_report(report_id="idx1")), an_arrival(a_report(report_id="idx2")), "new", 2, id="F-50: add up"
        ),
        pytest.param(
            an_arrival(a_report()),
            an_arrival(a_report(contact_info="tls@other.example")),
            "new",
            2,
            id="same id of another sender",
        ),
    ],
)
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in one batch"])
def test_promise_2_counted_once(
    store: Store, first: Arrival, second: Arrival, expected: str, counted: int, at_once: bool
) -> None:
    """Promise 2 (F-18, A-08): however often and by however many ways a report arrives."""
    if at_once:
        kept = [one for document in store.keep([prepare(first), prepare(second)]) for one in document]
    else:
        kept = keep(store, first, second)
    assert results(kept) == ["new", expected]
    assert sessions(store)[0] == counted
    assert check(store, raw=True).problems == ()


def test_a_conflict_is_kept_whole_and_flagged_on_both(store: Store) -> None:
    """Promise 2: both kept, one counted, and nobody has to guess which."""
    first, other, third = keep(
        store, *(a_report(an_entry(successful=count, failed=1, details=(a_detail(),))) for count in (5, 6, 7))
    )
    assert results([first, other, third]) == ["new", "conflict", "conflict"]
    assert f"report {first.id}" in other.reason
    assert sessions(store) == (1, 5, 1)
    assert report_by_id(store, other.id).conflict_with == first.id
    assert report_by_id(store, other.id).report.successful == 6
    assert report_by_id(store, first.id).conflicts == (other.id, third.id)
    assert {line.id for line in list_reports(store, conflict=True).reports} == {first.id, other.id, third.id}
    assert results(keep(store, a_report(an_entry(successful=6, failed=1, details=(a_detail(),))))) == ["known"]
    assert raw_of_report(store, other.id) != raw_of_report(store, first.id)


def test_a_document_with_several_reports_is_kept_once(store: Store) -> None:
    """F-16: two reports in one mail; both lead to the same bytes."""
    one, two = keep(store, an_arrival(a_report(report_id="1"), a_report(report_id="2"), raw=b"the mail"))
    assert raw_of_report(store, one.id) == raw_of_report(store, two.id) == b"the mail"
    assert len(rows_of(store, "document")) == 1


def test_a_known_report_leaves_a_note_of_other_documents_only(store: Store) -> None:
    """Reading a mailbox again writes nothing; another copy is noted, a flood of copies not for ever."""
    (kept,) = keep(store, an_arrival(a_report(), raw=b"first"))
    changes = store.connection.total_changes
    keep(store, an_arrival(a_report(), raw=b"first"))
    assert store.connection.total_changes == changes
    keep(store, *(an_arrival(a_report(), raw=b"copy %d" % n, source=f"pipe {n}") for n in range(MOST_SIGHTINGS + 5)))
    keep(store, an_arrival(a_report(), raw=b"copy 0"))
    assert len(report_by_id(store, kept.id).sightings) == MOST_SIGHTINGS
    assert "pipe 0" in {one.source for one in report_by_id(store, kept.id).sightings}
    assert len(rows_of(store, "document")) == 1


def test_what_can_not_be_read_is_kept_with_its_bytes_once(store: Store) -> None:
    """Nothing is ever dropped: reason and bytes stay, and the same document again is no second entry."""
    broken = an_arrival(raw=b"broken", faults=(Fault(reason="the stream ends early", where="a.json.gz"),))
    first, again = keep(store, broken, broken)
    assert (first.result, first.reason, again.result, again.id) == (
        "quarantined",
        "the stream ends early",
        "known",
        first.id,
    )
    (entry,) = list_quarantine(store)
    assert (entry.reason, entry.where, entry.state) == ("the stream ends early", "a.json.gz", "waiting")
    assert raw_of_quarantine(store, entry.id) == b"broken"
    assert sessions(store) == (0, 0, 0)


def test_a_readable_report_beside_a_broken_one_counts(store: Store) -> None:
    kept = keep(store, an_arrival(a_report(), faults=(Fault(reason="no JSON", where="b.json"),)))
    assert results(kept) == ["new", "quarantined"]
    assert sessions(store)[0] == 1


def test_what_is_no_report_leaves_nothing(store: Store) -> None:
    """A DMARC report in the shared mailbox is not ours to keep (F-19)."""
    assert store.keep([prepare(an_arrival(raw=b"DMARC"))]) == [[]]
    assert store.keep([]) == []
    assert rows_of(store, "document") == []


@pytest.mark.parametrize(
    ("again", "state", "counted"),
    [
        pytest.param(an_arrival(a_report(), raw=b"x"), "released", 1, id="read now"),
        pytest.param(an_arrival(raw=b"x"), "other", 0, id="no TLS report after all"),
        pytest.param(an_arrival(raw=b"x", faults=(Fault(reason="better told"),)), "waiting", 0, id="still not"),
        pytest.param(
            an_arrival(a_report(), raw=b"x", faults=(Fault(reason="no JSON", where="b"),)), "released", 1, id="in part"
        ),
    ],
)
def test_a_retry_keeps_and_marks_at_once(store: Store, again: Arrival, state: str, counted: int) -> None:
    """`quarantine retry`: what the reader can do today is kept, and the entry says so, in one transaction."""
    (entry,) = keep(store, an_arrival(raw=b"x", faults=(Fault(reason="no JSON"),)))
    released = store.release(entry.id, prepare(again))
    assert released.state == state
    assert sessions(store)[0] == counted
    waiting = [one.reason for one in list_quarantine(store)]
    assert waiting == [fault.reason for fault in again.faults]
    assert store.release(entry.id, prepare(again)).state == state
    assert sessions(store)[0] == counted
    assert check(store, raw=True).problems == ()


def test_a_retry_wants_the_entry_and_its_own_bytes(store: Store) -> None:
    (entry,) = keep(store, an_arrival(raw=b"x", faults=(Fault(reason="no JSON"),)))
    with pytest.raises(StoreError, match="no quarantine entry 99"):
        store.release(99, prepare(an_arrival(raw=b"x")))
    with pytest.raises(ValueError, match="quarantined bytes"):
        store.release(entry.id, prepare(an_arrival(raw=b"y")))


@settings(max_examples=60, deadline=None)
@given(st.lists(arrivals(), max_size=6), st.data())
def test_any_arrivals_in_any_batches_leave_exact_tallies(some: list[Arrival], data: st.DataObject) -> None:
    """Promises 2 and 7: tallies are what the facts give, whatever came, however often, with conflicts and faults."""
    order = data.draw(st.permutations(some * 2))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=3)))
    with in_memory() as store:
        for begin, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            store.keep([prepare(one) for one in order[begin:end]])
        assert check(store, raw=True).problems == ()
        before = [rows_of(store, table) for table in TALLIES]
        again = store.keep([prepare(one) for one in order])
        assert {one.result for kept in again for one in kept} <= {"known"}
        assert [rows_of(store, table) for table in TALLIES] == before


@settings(max_examples=60, deadline=None)
@given(st.lists(reports, max_size=6, unique_by=lambda report: identity(report)), st.data())
def test_order_and_repetition_mean_nothing(some: list[Report], data: st.DataObject) -> None:
    """Promise 2: without conflicts, any order of any number of copies gives the same tallies."""
    with in_memory() as one, in_memory() as other:
        one.keep([prepare(an_arrival(report)) for report in some])
        order = data.draw(
            st.permutations(some + data.draw(st.lists(st.sampled_from(some), max_size=6)) if some else [])
        )
        for report in order:
            other.keep([prepare(an_arrival(report))])
        for table in TALLIES:
            assert rows_of(one, table) == rows_of(other, table)


def identity(report: Report) -> bytes:
    (item,) = prepare(an_arrival(report)).items
    return getattr(item, "identity", b"")


def in_memory() -> Store:
    """A store without a disk, for the many of a property test."""
    from tlsrpt.store.sqlite_schema import migrate

    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("PRAGMA foreign_keys = ON")
    template = _template()
    if not template:
        migrate(db)
        template.append(db.serialize())
    else:
        db.deserialize(template[0])
    return Store(Path(":memory:"), db)


def _template(kept: list[bytes] = []) -> list[bytes]:  # noqa: B006 (made once, for speed)
    return kept


def test_a_liar_can_not_break_a_query(store: Store) -> None:
    """Counts up to the bound add up without an overflow; above it there is quarantine (SQLite's sum() would raise)."""
    many = [a_report(an_entry(successful=MOST_SESSIONS), report_id=str(n), day=n % 3) for n in range(300)]
    assert set(results(keep(store, *many))) == {"new"}
    assert sessions(store) == (300, 300 * MOST_SESSIONS, 0)
    assert results(keep(store, a_report(an_entry(successful=2**63 - 1), report_id="x"))) == ["quarantined"]
    assert summary(store, domain="meadow.example", by=("day", "result"), **ALWAYS).totals.reports == 300


@pytest.mark.parametrize("hostile", ["'; DROP TABLE report; --", "a\0b", "\ud800", "\u202e", "%_\\", "x" * 60_000])
def test_hostile_text_is_only_text(store: Store, hostile: str) -> None:
    """Promise 4 and F-54: kept, listed, found again, and the store is whole."""
    report = a_report(
        an_entry(hostile, "meadow.example", failed=1, details=(a_detail(hostile, failure_reason_code=hostile),)),
        report_id=hostile,
        organization_name=hostile,
        contact_info=None,
    )
    (kept,) = keep(store, an_arrival(report, source=hostile, faults=(Fault(reason=hostile, where=hostile),)))[:1]
    assert report_by_id(store, kept.id).report.failed == 1
    for by in ("sender", "policy", "result", "mx"):
        assert summary(store, domain=None, by=(by,), **ALWAYS).totals.failed == 1  # type: ignore[arg-type]
    assert [line.id for line in list_reports(store, text=hostile[:50]).reports] == [kept.id]
    assert check(store, raw=True).problems == ()


def test_a_large_report_is_kept(store: Store) -> None:
    """F-53: thousands of rows."""
    rows = tuple(a_detail("certificate-expired", 1, sending_mta_ip=f"2001:db8::{n:x}") for n in range(20_000))
    (kept,) = keep(store, a_report(an_entry(failed=20_000, details=rows)))
    assert len(report_by_id(store, kept.id).report.policies[0].failure_details or ()) == 20_000
    assert sessions(store, "meadow.example") == (1, 10, 20_000)


def test_a_writer_waits_for_another_and_then_gives_up(tmp_path: Path) -> None:
    """Locked for longer than the time-out: an error worth trying again, and nothing half kept."""
    path = str(tmp_path / "tlsrpt.db")
    with open_store(path, create=True) as one, open_store(path, timeout_s=0.05) as two:
        with one.writing():
            with pytest.raises(StoreBusyError, match="locked"):
                keep(two, a_report())
            assert sessions(two) == (0, 0, 0)  # readers are not held up
        assert results(keep(two, a_report())) == ["new"]


def test_two_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    """Promise 2 under a race: both take in the same documents, each report is new for one of them only."""
    path = str(tmp_path / "tlsrpt.db")
    documents = [prepare(an_arrival(a_report(report_id=str(n), day=n % 5))) for n in range(200)]
    outcomes: list[str] = []

    def write(order: list[int]) -> None:
        with open_store(path, create=True) as store:
            for start in range(0, len(order), 7):
                batch = [documents[n] for n in order[start : start + 7]]
                outcomes.extend(one.result for kept in store.keep(batch) for one in kept)

    threads = [threading.Thread(target=write, args=(order,)) for order in ([*range(200)], [*reversed(range(200))])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["known"] * 200 + ["new"] * 200
    with open_store(path) as store:
        assert sessions(store) == (200, 2000, 0)
        assert check(store).problems == ()


def test_a_full_disk_keeps_nothing_and_says_so(tmp_path: Path) -> None:
    """Disk full (here: a file that may not grow): try again later; the store is whole and goes on once there is room."""
    with open_store(str(tmp_path / "tlsrpt.db"), create=True) as store:
        (pages,) = store.connection.execute("PRAGMA page_count").fetchone()
        store.connection.execute(f"PRAGMA max_page_count = {pages + 20}")
        some = [prepare(an_arrival(a_report(report_id=str(n)), raw=bytes([n]) * 9)) for n in range(50)]
        noise = random.Random(8460).randbytes(500_000)
        huge = prepare(an_arrival(a_report(report_id="huge"), raw=noise))
        with pytest.raises(StoreBusyError, match="full"):
            store.keep([*some, huge])
        assert rows_of(store, "report") == []
        assert check(store).problems == ()
        store.connection.execute("PRAGMA max_page_count = 1000000")
        assert len(store.keep([*some, huge])) == 51
        assert sessions(store)[0] == 51


def test_an_exception_in_a_batch_leaves_nothing(store: Store) -> None:
    """One transaction: all of it or nothing, also where the mistake is our own."""
    good = prepare(an_arrival(a_report()))
    broken = prepare(an_arrival(a_report(report_id="2")))
    broken = msgspec.structs.replace(broken, document=broken.document[:-1])
    with pytest.raises(StoreError):
        store.keep([good, broken])
    assert rows_of(store, "document") == rows_of(store, "report") == []
    assert results(keep(store, a_report())) == ["new"]


def test_late_reports_change_past_days(store: Store) -> None:
    """F-51: 24 days late is still that day."""
    keep(store, an_arrival(a_report(day=20)), an_arrival(a_report(day=0), received_at=NOW + timedelta(days=24)))
    assert summary(store, domain=None, since=date(2026, 3, 1), until=date(2026, 3, 1)).totals.reports == 1
