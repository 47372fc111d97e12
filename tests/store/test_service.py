"""What the service asks of the store: places, states of sources, the quarantine's size, batches that nothing can poison."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.builders import NOW, a_detail, a_report, an_arrival, an_entry, rows_of
from tests.store.strategies import arrivals
from tests.store.test_keep import in_memory, keep, sessions
from tlsrpt.core.errors import StoreBusyError, StoreError
from tlsrpt.store.rows import Prepared, PreparedReport, prepare
from tlsrpt.store.sqlite import Store, open_store
from tlsrpt.store.sqlite_check import check
from tlsrpt.store.sqlite_prune import prune
from tlsrpt.store.values import Arrival, Fault, SourceState


def test_a_place_is_there_after_a_restart(tmp_path: Path) -> None:
    """An IMAP source in read-only mode goes on from its UID, an S3 source from its last key."""
    path = str(tmp_path / "tlsrpt.db")
    with open_store(path, create=True) as store:
        assert store.place("imap:INBOX") is None
        store.keep_place("imap:INBOX", "1700000000:42")
        store.keep_place("imap:INBOX", "1700000000:43")
        store.keep_place("s3:bucket", "a/b\ud800\0")  # what a key is called is up to others
    with open_store(path) as store:
        assert store.place("imap:INBOX") == "1700000000:43"
        assert store.place("s3:bucket") == r"a/b\ud800\x00"
        assert [isinstance(row[2], int) for row in rows_of(store, "place")] == [True, True]


def test_a_place_that_stays_writes_nothing(store: Store) -> None:
    """A mailbox that is looked through every minute and is empty must not wear the disk out."""
    store.keep_place("imap:INBOX", "42")
    changes = store.connection.total_changes
    store.keep_place("imap:INBOX", "42")
    assert store.connection.total_changes == changes


def a_state(name: str = "imap", **values: Any) -> SourceState:
    return SourceState(**{"name": name, "kind": "imap", "state": "working", "since": NOW, "updated_at": NOW} | values)


def test_source_states_come_back_equal(store: Store) -> None:
    """`tlsrpt health` and the pages show what the service wrote down."""
    whole = a_state(
        "a",
        state="trouble",
        trouble="login refused",
        last_success=NOW - timedelta(hours=1),
        waiting=3,
        outcomes={"new": 2, "too-large": 1},
        turned_away=4,
        started_at=NOW - timedelta(days=9),
        host="mx.example",
        pid=4321,
    )
    assert store.source_states() == []
    store.keep_source_states([a_state("b"), whole])
    assert store.source_states() == [whole, a_state("b")]


def test_one_row_a_source_and_none_for_those_that_are_gone(store: Store) -> None:
    """After a reload the sources are others; what a second process runs is not touched where it is named."""
    store.keep_source_states([a_state("a"), a_state("b"), a_state("c")])
    store.keep_source_states([a_state("a", state="stopped")], configured=["a", "b"])
    assert [(one.name, one.state) for one in store.source_states()] == [("a", "stopped"), ("b", "working")]
    store.keep_source_states([])
    assert store.source_states() == []


def test_states_can_be_read_without_sqlalchemy(store: Store) -> None:
    """A container asks `tlsrpt health` every few seconds."""
    code = (
        "import sys\n"
        "from tlsrpt.store.sqlite import open_store\n"
        "with open_store(sys.argv[1]) as store: store.source_states(), store.quarantine_size()\n"
        "print('sqlalchemy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_quarantine_is_as_large_as_what_waits_in_it(store: Store) -> None:
    """A document counts once, whatever number of faults it has; what was read since or pruned takes no room."""
    assert store.quarantine_size() == (0, 0)
    two = (Fault(reason="x", where="a"), Fault(reason="x", where="b"))
    keep(store, an_arrival(raw=b"x" * 100, faults=two), an_arrival(raw=b"y" * 30, faults=two[:1]), a_report())
    assert store.quarantine_size() == (3, 130)
    store.release(1, prepare(an_arrival(a_report(day=1), raw=b"x" * 100)))
    assert store.quarantine_size() == (1, 30)
    prune(store, raw_before=(NOW + timedelta(days=1)).date())
    assert store.quarantine_size() == (0, 0)


def test_the_quarantines_size_is_read_from_its_index(store: Store) -> None:
    """The service asks now and then, with millions of documents kept."""
    from tlsrpt.store.sqlite_service import _QUARANTINE_SIZE

    plan = [row[3] for row in store.connection.execute(f"EXPLAIN QUERY PLAN {_QUARANTINE_SIZE}")]
    assert not [
        step
        for step in plan
        if step.startswith("SCAN") and "quarantine_waiting" not in step and step != "SCAN CONSTANT ROW"
    ]


# --- A document that can't be kept ------------------------------------------------------------------------------------


def report_of(prepared: Prepared) -> PreparedReport:
    (item,) = prepared.items
    assert isinstance(item, PreparedReport)
    return item


def with_report(prepared: Prepared, **changes: Any) -> Prepared:
    return msgspec.structs.replace(prepared, items=(msgspec.structs.replace(report_of(prepared), **changes),))


def poisons() -> dict[str, Prepared]:
    """Documents that pass every check of ours and that the engine, or our own code, chokes on."""
    good = prepare(an_arrival(a_report(an_entry(failed=1, details=(a_detail(),)), report_id="poison"), raw=b"poison"))
    item = report_of(good)
    key, figures = item.share.tally[0]
    return {
        "a number too large": with_report(good, report=(*item.report[:11], 2**70, *item.report[12:])),
        "a text that is none": with_report(good, report=("\ud800", *item.report[1:])),
        "a missing value": with_report(good, policies=((0, None, None, *item.policies[0][3:]),)),
        "a column too few": msgspec.structs.replace(good, document=good.document[:-1]),
        "the same row twice": with_report(good, failures=item.failures * 2),
        "a type of no use": with_report(good, report=(object(), *item.report[1:])),
        "in the tallies": with_report(good, share=item.share._replace(tally=[(key, (2**70, *figures[1:]))])),
    }


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("poison", list(poisons()))
def test_a_poisonous_document_keeps_nobody_out(store: Store, poison: str, place: int) -> None:
    """The batch of strangers that waits with it is kept, in one transaction, and it alone is told."""
    batch = [prepare(an_arrival(a_report(day=n), raw=bytes([n]))) for n in range(3)]
    batch.insert(place, poisons()[poison])
    kept = store.keep_each(batch)
    (error,) = [one for one in kept if isinstance(one, StoreError)]
    assert kept[place] is error
    assert "this document can't be kept" in str(error)
    assert [one[0].result for one in kept if isinstance(one, list)] == ["new"] * 3
    assert sessions(store) == (3, 30, 0)
    assert check(store, raw=True).problems == ()
    assert len(rows_of(store, "document")) == 3
    assert len(store.keep_each([*batch, batch[0]])) == 5
    assert sessions(store) == (3, 30, 0)


def test_a_poisonous_document_alone_is_told_too(store: Store) -> None:
    (error,) = store.keep_each([poisons()["a number too large"]])
    assert isinstance(error, StoreError)
    assert not isinstance(error, StoreBusyError)
    assert rows_of(store, "document") == []


def test_what_is_wrong_with_the_store_is_nobodys_document(tmp_path: Path) -> None:
    """Locked, full or upgraded meanwhile: one error for all, and the service says that the store is in trouble."""
    path = str(tmp_path / "tlsrpt.db")
    batch = [prepare(an_arrival(a_report(day=n))) for n in range(3)]
    with open_store(path, create=True) as one, open_store(path, timeout_s=0.05) as two:
        with one.writing(), pytest.raises(StoreBusyError, match="locked"):
            two.keep_each(batch)
        (pages,) = two.connection.execute("PRAGMA page_count").fetchone()
        two.connection.execute(f"PRAGMA max_page_count = {pages}")
        huge = prepare(an_arrival(a_report(day=9), raw=random.Random(8460).randbytes(100_000)))
        with pytest.raises(StoreBusyError, match="full"):
            two.keep_each([*batch, huge])
        with pytest.raises(StoreBusyError, match="full"):
            two.keep_each([*batch, poisons()["a missing value"], huge])
        assert rows_of(two, "report") == []
        two.connection.execute("PRAGMA max_page_count = 1000000")
        one.connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(StoreError, match="upgraded by another process"):
            two.keep_each(batch)
        one.connection.execute("PRAGMA query_only = ON")
        one.connection.execute("SELECT 1")
        with pytest.raises(StoreError, match="may not be written"):
            one.keep_each(batch)


@settings(max_examples=50, deadline=None)
@given(st.lists(arrivals(), max_size=5), st.integers(0, 5), st.sampled_from(sorted(poisons())))
def test_the_others_of_a_batch_are_kept_as_they_would_be_without_it(
    some: list[Arrival], place: int, poison: str
) -> None:
    """Whatever came with it: the same rows, and exact tallies."""
    batch = [prepare(one) for one in some]
    with in_memory() as with_poison, in_memory() as without:
        kept = with_poison.keep_each([*batch[:place], poisons()[poison], *batch[place:]])
        assert [one for one in kept if isinstance(one, list)] == without.keep_each(batch)
        for (table,) in without.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            assert rows_of(with_poison, table) == rows_of(without, table)
        assert check(with_poison, raw=True).problems == ()


def test_an_unexpected_error_that_is_no_documents_leaves_nothing(store: Store) -> None:
    """Out of memory is not a document's fault: all or nothing, as ever."""
    batch = [prepare(an_arrival(a_report(day=n))) for n in range(3)]

    def refuse(*_: object) -> int:
        return sqlite3.SQLITE_DENY

    store.connection.set_authorizer(refuse)
    with pytest.raises(StoreError):
        store.keep_each(batch)
    store.connection.set_authorizer(None)
    assert rows_of(store, "report") == []
