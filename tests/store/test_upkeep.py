"""`store info|check|backup|upgrade|prune`."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.builders import (
    FIRST_DAY,
    NOW,
    a_detail,
    a_report,
    an_arrival,
    an_entry,
    for_others,
    incoming,
    rows_of,
    signed,
)
from tests.store.strategies import arrivals
from tests.store.test_keep import TALLIES, in_memory, keep, results, sessions
from tlsrpt.core.errors import StoreBusyError, StoreError
from tlsrpt.core.findings import Finding
from tlsrpt.store import sqlite_upkeep
from tlsrpt.store.figures import summary
from tlsrpt.store.reports import list_quarantine, list_reports, raw_of_quarantine, raw_of_report, report_by_id
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import Store, connect, engine_over, open_store
from tlsrpt.store.sqlite_check import MOST_PROBLEMS, check
from tlsrpt.store.sqlite_prune import prune
from tlsrpt.store.sqlite_schema import MIGRATIONS, migrate
from tlsrpt.store.sqlite_upkeep import backup, info, upgrade_if_there, upgrade_store
from tlsrpt.store.values import Arrival, Fault, MailHeaders
from tlsrpt.store.version import APPLICATION_ID, HEAD, REVISIONS

TOMORROW = NOW.date() + timedelta(days=1)
ALWAYS = {"since": date(1970, 1, 1), "until": date(9999, 12, 31)}
FINDING = Finding(code="null-contact-info", severity="warning", where="contact-info", message="null")


@pytest.fixture
def filled(store: Store) -> Store:
    """Reports 1 to 3 on three days, a conflict (4), a quarantine entry; foreign ones are in test_standing.py."""
    failing = an_entry(failed=3, details=(a_detail("certificate-expired", 3, sending_mta_ip="192.0.2.1"),))
    keep(
        store,
        an_arrival(
            incoming(a_report(failing), findings=(FINDING,), extras={"x": 1}),
            headers=MailHeaders(sender="tls@sender.example"),
        ),
        a_report(failing, an_entry("tlsa", "mx1.host.example"), day=1),
        a_report(failing, day=2),
        a_report(an_entry(successful=99)),
        an_arrival(raw=b"broken", faults=(Fault(reason="no JSON"),)),
    )
    return store


def test_info_counts(filled: Store) -> None:
    found = info(filled)
    assert (found.reports, found.conflicts, found.quarantined, found.documents) == (4, 1, 1, 5)
    assert (found.failure_rows, found.domains, found.senders, found.pruned) == (3, 2, 1, 0)
    assert (found.foreign, found.proven) == (0, 0)
    assert (found.first_day, found.last_day) == (FIRST_DAY.date(), FIRST_DAY.date() + timedelta(days=2))
    assert (found.path, found.schema, found.last_received) == (str(filled.path), HEAD, NOW)
    assert found.size_bytes > 0
    assert found.packed_bytes <= found.raw_bytes


def test_info_of_nothing(store: Store) -> None:
    found = info(store)
    assert (found.reports, found.first_day, found.last_received) == (0, None, None)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(
            "UPDATE tally SET counted_failed = 7 WHERE domain = '*' AND day = 20513", "tally: ", id="a figure"
        ),
        pytest.param("DELETE FROM tally WHERE sender = 'sender.example'", "is missing", id="rows of a tally"),
        pytest.param("UPDATE failure_tally SET sent_failed = sent_failed + 1", "failure_tally: ", id="failed sessions"),
        pytest.param(
            "DELETE FROM failure WHERE report_id = 1", "report 1, policy 0: 0 failure rows instead of 1", id="fact"
        ),
        pytest.param(
            "UPDATE policy SET successful = 1 WHERE report_id = 2", "report 2: its policies give", id="a count"
        ),
        pytest.param("DELETE FROM policy WHERE report_id = 3", "report 3", id="a policy"),
        pytest.param("DELETE FROM document WHERE id = 1", "report, row 1: what it belongs to in document", id="orphan"),
        pytest.param("UPDATE report SET counted = 1", "is missing or not what is stored", id="a conflict counted"),
        pytest.param("UPDATE report SET counted = 1 WHERE id = 4", "report 4: counted, foreign and", id="in conflict"),
        pytest.param(
            "UPDATE report SET counted = 1, conflict_with = NULL WHERE id = 4", "report 4: counted beside", id="twice"
        ),
        pytest.param("UPDATE report SET foreign_ = 1 WHERE id = 2", "report 2: counted, foreign and", id="foreign"),
        pytest.param(
            "UPDATE report SET conflict_with = 3 WHERE id = 4", "report 4: not counted, and no report", id="conflict"
        ),
        pytest.param("UPDATE report SET dkim = 'pass' WHERE id = 3", "tally: ", id="proof that no tally has"),
        pytest.param("UPDATE tally SET proven = 1", "tally: ", id="proof that no report has"),
        pytest.param("UPDATE document SET raw = x'00', packing = '' WHERE id = 2", "document 2: its bytes", id="bytes"),
        pytest.param("UPDATE document SET raw = x'ff' WHERE id = 1", "document 1: its bytes can't be", id="packing"),
    ],
)
def test_check_finds_what_is_not_as_the_facts_say(filled: Store, damage: str, says: str) -> None:
    """Tallies are exact by construction; `check` is the proof, so it must see each way in which they could be wrong."""
    assert check(filled, raw=True).problems == ()
    filled.connection.execute("PRAGMA foreign_keys = OFF")
    filled.connection.execute(damage)
    found = check(filled, raw=True)
    assert any(says in problem for problem in found.problems), found.problems


def test_check_tells_a_bounded_number_of_problems(store: Store) -> None:
    keep(store, *(a_report(day=day) for day in range(MOST_PROBLEMS)))
    store.connection.execute("UPDATE tally SET mentions = 2")
    found = check(store)
    assert len(found.problems) == MOST_PROBLEMS + 1
    assert found.problems[-1].endswith("more")


def test_check_sees_a_damaged_file(filled: Store, tmp_path: Path) -> None:
    """A page overwritten: told as damage, not as a traceback."""
    copy = tmp_path / "damaged.db"
    backup(filled, copy)
    content = bytearray(copy.read_bytes())
    content[8192 * 5 : 8192 * 9] = b"\xff" * (8192 * 4)
    copy.write_bytes(content)
    with open_store(str(copy)) as store:
        assert any("damaged" in problem for problem in check(store).problems)


def test_check_changes_nothing(filled: Store) -> None:
    changes = filled.connection.execute("PRAGMA data_version").fetchone()
    before = [rows_of(filled, table) for table in TALLIES]
    check(filled, raw=True)
    assert [rows_of(filled, table) for table in TALLIES] == before
    assert filled.connection.execute("PRAGMA data_version").fetchone() == changes
    assert check(filled).problems == ()


def test_backup_copies_a_store_in_use(filled: Store, tmp_path: Path) -> None:
    """An online copy: a writer in the middle of a batch is not in it, and it overwrites nothing."""
    target = tmp_path / "copy.db"
    with open_store(str(filled.path)) as other, other.writing() as db:
        db.execute("INSERT INTO domain (report_domain) VALUES ('half')")
        assert backup(filled, target) == target.stat().st_size
    with open_store(str(target)) as copy:
        assert sessions(copy) == sessions(filled)
        assert check(copy, raw=True).problems == ()
        assert "half" not in {domain for (domain,) in rows_of(copy, "domain")}
    assert target.stat().st_mode & 0o777 == 0o640
    before = target.read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        backup(filled, target)
    assert target.read_bytes() == before
    with pytest.raises(StoreError, match=str(tmp_path / "none")):
        backup(filled, tmp_path / "none" / "copy.db")


STEP = '''
"""A step that a test takes."""
import sqlalchemy as sa
from alembic import op
revision = "9000"
down_revision = "{head}"
def upgrade() -> None:
    op.add_column("report", sa.Column("note", sa.Text))
    {more}
'''


@pytest.fixture
def next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if this program were the next version: one more step, adding a column."""
    migrations = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, migrations, ignore=shutil.ignore_patterns("__pycache__"))
    (migrations / "versions" / "v9000_note.py").write_text(STEP.format(more="", head=HEAD))
    monkeypatch.setattr("tlsrpt.store.sqlite_schema.MIGRATIONS", migrations)
    for module in ("sqlite", "sqlite_upkeep"):
        monkeypatch.setattr(f"tlsrpt.store.{module}.HEAD", "9000")
        monkeypatch.setattr(f"tlsrpt.store.{module}.REVISIONS", (*REVISIONS, "9000"))
    return migrations


def as_of(revision: str, store: Store, path: Path) -> None:
    """Write what is in a store into one of an older schema, as that had it."""
    with closing(connect(make_at(revision, path), timeout_s=5)) as old:
        old.execute("ATTACH ? AS new", (str(store.path),))
        old.execute("PRAGMA foreign_keys = OFF")
        tables = [name for (name,) in old.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table != "alembic_version":
                columns = ", ".join(f'"{row[1]}"' for row in old.execute(f"PRAGMA main.table_info({table})"))
                old.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}")  # noqa: S608


def make_at(revision: str, path: Path) -> Path:
    """An empty store of an older schema."""
    from alembic import command
    from alembic.config import Config

    path.touch()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with closing(connect(path, timeout_s=5)) as db, engine_over(db).connect() as connection:
        db.execute("PRAGMA journal_mode = WAL")
        config.attributes["connection"] = connection
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        command.upgrade(config, revision)
        connection.commit()
    return path


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_an_older_store_is_upgraded_with_its_rows_intact(filled: Store, tmp_path: Path, revision: str) -> None:
    """Every released schema: all that was kept is there, and as if this version had kept it."""
    path = tmp_path / "old.db"
    as_of(revision, filled, path)
    done = upgrade_store(str(path))
    assert (done.before, done.after) == (revision, HEAD)
    with open_store(str(path)) as store:
        for (table,) in filled.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            assert rows_of(store, table) == rows_of(filled, table), table
        assert check(store, raw=True).problems == ()
        again = an_arrival(signed(a_report(an_entry(successful=99))), raw=b"signed")
        assert results(keep(store, again, a_report(day=7))) == ["known", "new"]
        assert report_by_id(store, 4).counted
        assert check(store, raw=True).problems == ()
    with sqlite3.connect(str(done.backup)) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)
    copy.close()


def test_upgrade_makes_a_backup_and_then_the_step(filled: Store, next_schema: Path) -> None:
    """`store upgrade`: everything that was there is there, and the copy is the store as it was."""
    path, before = filled.path, sessions(filled)
    filled.close()
    with pytest.raises(StoreError, match="store upgrade"):
        open_store(str(path))
    done = upgrade_store(str(path))
    assert (done.before, done.after) == (HEAD, "9000")
    with open_store(str(path)) as store:
        assert sessions(store) == before
        assert store.connection.execute("SELECT note FROM report").fetchone() == (None,)
        assert check(store).problems == ()
    assert done.backup is not None
    with sqlite3.connect(done.backup) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert copy.execute("SELECT count(*) FROM report").fetchone() == (4,)
    copy.close()
    assert upgrade_store(str(path)).backup is None


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(filled: Store, next_schema: Path) -> None:
    """One transaction for all steps."""
    path = filled.path
    filled.close()
    (next_schema / "versions" / "v9000_note.py").write_text(STEP.format(more="raise RuntimeError('stop')", head=HEAD))
    with pytest.raises(RuntimeError, match="stop"):
        upgrade_store(str(path))
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert "note" not in {row[1] for row in db.execute("PRAGMA table_info(report)")}
    db.close()
    assert not list(path.parent.glob("*.bak"))


def test_upgrade_has_nothing_to_do_with_other_files(tmp_path: Path, filled: Store) -> None:
    with pytest.raises(StoreError, match="no store here yet"):
        upgrade_store(str(tmp_path / "none.db"))
    assert upgrade_store(str(filled.path)) == sqlite_upkeep.Upgraded(before=HEAD, after=HEAD, backup=None)
    filled.connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer tlsrpt"):
        upgrade_store(str(filled.path))


def test_pruned_bytes_leave_the_reports(filled: Store) -> None:
    """Raw has an age of its own: what was read from it stays, to the last finding."""
    before = sessions(filled), report_by_id(filled, 1).report
    done = prune(filled, raw_before=TOMORROW)
    assert (done.documents, done.reports) == (5, 0)
    assert (sessions(filled), report_by_id(filled, 1).report) == before
    assert report_by_id(filled, 1).raw_kept is False
    with pytest.raises(StoreError, match="bytes of report 1 were pruned"):
        raw_of_report(filled, 1)
    (entry,) = list_quarantine(filled, state="pruned")
    with pytest.raises(StoreError, match="were pruned"):
        raw_of_quarantine(filled, entry.id)
    assert check(filled, raw=True).problems == ()
    assert prune(filled, raw_before=TOMORROW).documents == 0


def test_pruned_facts_leave_every_figure(filled: Store) -> None:
    """Facts hold addresses; sums do not. `summary` answers as before, and no address is left in the file."""
    questions = [(None, ("day", "sender", "policy")), ("meadow.example", ("result", "mx")), ("mx1.host.example", ())]
    before = [summary(filled, domain=domain, by=by, **ALWAYS) for domain, by in questions]  # type: ignore[arg-type]
    done = prune(filled, raw_before=TOMORROW, facts_before=FIRST_DAY.date() + timedelta(days=2))
    assert done.reports == 3  # with the conflict
    after = [summary(filled, domain=domain, by=by, **ALWAYS) for domain, by in questions]  # type: ignore[arg-type]
    assert after == before
    assert [line.id for line in list_reports(filled).reports] == [3]
    assert [line.id for line in list_reports(filled, domain="meadow.example").reports] == [3]
    with pytest.raises(StoreError, match="report 1 of 2026-03-01 was pruned"):
        report_by_id(filled, 1)
    assert {row[0] for row in rows_of(filled, "policy")} == {3}
    assert check(filled, raw=True).problems == ()
    prune(filled, facts_before=TOMORROW + timedelta(days=9))
    filled.close()
    assert b"192.0.2.1" not in filled.path.read_bytes()
    assert b"tls@sender.example" not in filled.path.read_bytes()


def test_a_pruned_report_is_still_known(filled: Store) -> None:
    """Promise 2 outlives the facts: a copy that comes years later counts nothing twice."""
    counted = sessions(filled)
    prune(filled, raw_before=TOMORROW, facts_before=TOMORROW + timedelta(days=9))
    failing = an_entry(failed=3, details=(a_detail("certificate-expired", 3, sending_mta_ip="192.0.2.1"),))
    again = incoming(a_report(failing), extras={"x": 1})
    kept = keep(filled, an_arrival(again, raw=b"a copy"), a_report(an_entry(successful=1234)))
    assert results(kept) == ["known", "conflict"]
    assert sessions(filled) == counted
    assert rows_of(filled, "sighting") == []
    assert check(filled).problems == ()


def test_late_reports_for_pruned_days_are_kept_and_counted(filled: Store) -> None:
    """F-51: late data reopens past days; `check` can't judge days whose facts are gone, and says nothing of them."""
    prune(filled, facts_before=FIRST_DAY.date() + timedelta(days=2))
    assert results(keep(filled, a_report(report_id="late"))) == ["new"]
    assert sessions(filled)[0] == 4
    assert check(filled).problems == ()
    filled.connection.execute("UPDATE tally SET reports = 9 WHERE domain = '*'")
    assert check(filled).problems != ()


def test_pruned_facts_of_foreign_and_proven_reports(store: Store) -> None:
    """They hold addresses, too; what is left says that they were here, and how they stood."""
    hostile = a_report(an_entry("sts", "x" * 300 + ".example"), report_id="2")
    keep(store, an_arrival(signed()), an_arrival(for_others(hostile)), a_report(an_entry(successful=99)))
    before = sessions(store), [rows_of(store, table) for table in TALLIES]
    assert prune(store, raw_before=TOMORROW, facts_before=TOMORROW).reports == 3
    assert (sessions(store), [rows_of(store, table) for table in TALLIES]) == before
    for table in ("policy", "failure", "finding", "filed", "sighting"):
        assert rows_of(store, table) == [], table
    stands = "SELECT counted, foreign_, conflict_with, dkim, dkim_domain FROM report ORDER BY id"
    assert store.connection.execute(stands).fetchall() == [
        (1, 0, None, "pass", None),
        (0, 1, None, None, None),
        (0, 0, 1, None, None),
    ]
    assert (info(store).foreign, info(store).conflicts, info(store).proven) == (1, 1, 1)
    assert check(store, raw=True).problems == ()


def test_pruning_nothing_removes_nothing(filled: Store) -> None:
    before = [rows_of(filled, table) for table in (*TALLIES, "report", "document", "failure")]
    assert prune(filled).reports == 0
    done = prune(filled, raw_before=date(2020, 1, 1), facts_before=date(2020, 1, 1))
    assert (done.documents, done.reports) == (0, 0)
    assert [rows_of(filled, table) for table in (*TALLIES, "report", "document", "failure")] == before


def test_pruning_goes_on_beside_a_reader_and_makes_the_file_smaller_later(filled: Store) -> None:
    """In use, the file can't shrink now; what was to go is gone all the same."""
    with open_store(str(filled.path)) as other, other.writing():
        filled.connection.execute("PRAGMA busy_timeout = 50")
        with pytest.raises(StoreBusyError):
            prune(filled, raw_before=TOMORROW)
    with open_store(str(filled.path)) as other, other.reading() as db:
        db.exec_driver_sql("SELECT count(*) FROM report").all()
        done = prune(filled, raw_before=TOMORROW)
    assert done.documents == 5
    assert prune(filled).freed_bytes is not None


@settings(max_examples=40, deadline=None)
@given(st.lists(arrivals(), max_size=6), st.integers(0, 3), st.booleans())
def test_any_pruning_keeps_figures_and_memory(some: list[Arrival], day: int, raw: bool) -> None:
    """Whatever came and whatever was removed: same totals, nothing counted twice when all of it comes again."""
    with in_memory() as store:
        store.keep([prepare(one) for one in some])
        before = [rows_of(store, table) for table in TALLIES]
        cut = FIRST_DAY.date() + timedelta(days=day)
        for _ in range(2):
            prune(store, raw_before=TOMORROW if raw else None, facts_before=cut)
            assert [rows_of(store, table) for table in TALLIES] == before
            assert check(store, raw=True).problems == ()
            again = store.keep([prepare(one) for one in some])
            assert {one.result for kept in again for one in kept} <= {"known"}
        assert [rows_of(store, table) for table in TALLIES] == before


def test_migrations_can_be_run_twice(filled: Store) -> None:
    """Two processes that make or upgrade a store at once: the second finds nothing to do."""
    migrate(filled.connection)
    assert sessions(filled)[0] == 3


def test_a_store_that_was_begun_and_not_finished_is_finished_by_the_service(tmp_path: Path) -> None:
    """Killed between the switch to WAL and its tables, it kept the service from ever starting again."""
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path)) as begun:
        begun.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size
    assert upgrade_if_there(str(path)) is None
    open_store(str(path), create=True).close()
    assert upgrade_if_there(str(path)) is None
