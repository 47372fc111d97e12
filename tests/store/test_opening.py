"""Opening a store: what is there, whether it is ours and of our version; and making one."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.store.builders import a_report, an_arrival
from tlsrpt.core.errors import StoreError
from tlsrpt.store import schema, version
from tlsrpt.store.rows import prepare
from tlsrpt.store.sqlite import connect, open_store, sqlite_path
from tlsrpt.store.sqlite_schema import HEAD_SQL, MIGRATIONS, migrate, schema_sql
from tlsrpt.store.version import HEAD, REVISIONS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with one report in it."""
    path = tmp_path / "tlsrpt.db"
    with open_store(str(path), create=True) as store:
        store.keep([prepare(an_arrival(a_report()))])
    return path


def set_revision(path: Path, revision: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    db.close()


def fingerprint(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/tlsrpt/tlsrpt.db", "/var/lib/tlsrpt/tlsrpt.db"),
        ("sqlite:///here.db", "here.db"),
        ("/var/lib/tlsrpt/tlsrpt.db", "/var/lib/tlsrpt/tlsrpt.db"),
        ("here.db", "here.db"),
        ("odd % name?#.db", "odd % name?#.db"),
    ],
)
def test_a_url_names_a_file(url: str, expected: str) -> None:
    assert sqlite_path(url) == Path(expected)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://db.example/tlsrpt", "postgresql://.*sqlite:///"),
        ("sqlite://host.example/x.db", "host"),
        ("sqlite:///", "no file named"),
        (":memory:", "no file named"),
        ("", "no file named"),
        ("a\0b", "no file named"),
    ],
)
def test_any_other_url_says_what_there_is(url: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        sqlite_path(url)


def test_a_name_with_signs_of_a_url_in_it_is_that_file(tmp_path: Path) -> None:
    """`?` and `%` would otherwise change how SQLite opens it."""
    odd = tmp_path / "a?mode=memory&b=%20#.db"
    with open_store(str(odd), create=True) as store:
        store.keep([prepare(an_arrival(a_report()))])
    assert odd.stat().st_size > 0
    with open_store(f"sqlite:///{odd}") as store:
        assert store.connection.execute("SELECT count(*) FROM report").fetchone() == (1,)


def test_no_store_names_the_place_and_the_way_to_one(tmp_path: Path) -> None:
    """DESIGN, Storage: an empty answer names the store it looked in."""
    with pytest.raises(StoreError) as error:
        open_store(str(tmp_path / "none.db"))
    assert str(tmp_path / "none.db") in str(error.value)
    assert "tlsrpt ingest PATH" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"From MAILER-DAEMON\n" * 100, "no SQLite database", id="a mailbox"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 5000, "damaged|not a database", id="a damaged database"),
    ],
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes, says: str, create: bool) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(StoreError, match=says):
        open_store(str(file), create=create)
    assert file.read_bytes() == content


@pytest.mark.parametrize("create", [False, True])
def test_a_database_of_another_application_is_refused_and_left_alone(tmp_path: Path, create: bool) -> None:
    file = tmp_path / "places.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE moz_places (id INTEGER)")
    db.close()
    before = fingerprint(tmp_path)
    with pytest.raises(StoreError, match="another application"):
        open_store(str(file), create=create)
    assert fingerprint(tmp_path) == before


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    for create in (False, True):
        with pytest.raises(StoreError, match=str(tmp_path)):
            open_store(str(tmp_path), create=create)


def test_an_empty_file_is_no_store_yet_but_becomes_one(tmp_path: Path) -> None:
    """An administrator may make the file beforehand, with its owner and mode."""
    file = tmp_path / "tlsrpt.db"
    file.touch(mode=0o600)
    with pytest.raises(StoreError, match="no store here yet"):
        open_store(str(file))
    open_store(str(file), create=True).close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_newer_schema_is_a_clear_error(path: Path) -> None:
    """Issue 3: opening a newer schema gives a clear error, and touches nothing."""
    set_revision(path, "9999")
    before = fingerprint(path.parent)
    for create in (False, True):
        with pytest.raises(StoreError, match=r"newer tlsrpt .*schema 9999.*update tlsrpt"):
            open_store(str(path), create=create)
    assert fingerprint(path.parent) == before


def test_an_older_schema_is_never_migrated_by_opening(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 3: reading verbs never migrate; not one byte changes, and the error says which command does it."""
    monkeypatch.setattr("tlsrpt.store.sqlite.REVISIONS", ("0000", *REVISIONS))
    set_revision(path, "0000")
    before = fingerprint(path.parent)
    for create in (False, True):
        with pytest.raises(StoreError, match=r"older tlsrpt.*tlsrpt store upgrade"):
            open_store(str(path), create=create)
    assert fingerprint(path.parent) == before


def test_a_writer_notices_an_upgrade_by_another_process(path: Path) -> None:
    """A long-running process must not write rows of an old shape into a new schema."""
    with open_store(str(path)) as store:
        set_revision(path, "9999")
        with pytest.raises(StoreError, match="upgraded by another process"):
            store.keep([prepare(an_arrival(a_report(report_id="2")))])


def test_files_are_for_owner_and_group(tmp_path: Path) -> None:
    """DESIGN, Storage: mode 0640 whatever the umask, and a new folder is not for everybody either."""
    path = tmp_path / "new" / "folder" / "tlsrpt.db"
    umask = os.umask(0o077)
    try:
        with open_store(str(path), create=True) as store:
            store.keep([prepare(an_arrival(a_report()))])
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(umask)
    assert modes == dict.fromkeys(("tlsrpt.db", "tlsrpt.db-wal", "tlsrpt.db-shm"), 0o640)
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o007 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_root_makes_files_for_the_folders_owner(tmp_path: Path) -> None:
    """`tlsrpt ingest` as root must not lock the service out of its own store."""
    os.chown(tmp_path, 65534, 65534)
    path = tmp_path / "tlsrpt.db"
    with open_store(str(path), create=True) as store:
        store.keep([prepare(an_arrival(a_report()))])
        assert {(file.stat().st_uid, file.stat().st_gid) for file in tmp_path.iterdir()} == {(65534, 65534)}
        assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_store_that_may_not_be_written_can_not_be_kept_in(path: Path) -> None:
    """Another user gets a sentence, not a traceback."""
    for folder in path.parents:  # as far as they are the test run's own
        if "pytest-of-" in str(folder):
            folder.chmod(0o755)
    path.chmod(0o644)
    code = (
        "import os, sys\n"
        "from tests.store.builders import *\n"
        "from tlsrpt.store.rows import prepare\n"
        "from tlsrpt.store.sqlite import open_store\n"
        "from tlsrpt.core.errors import StoreError\n"
        "document = prepare(an_arrival(a_report(report_id='2')))\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try: open_store(sys.argv[1]).keep([document])\n"
        "except StoreError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "owner" in run.stdout or "may be read and written" in run.stdout


def test_making_a_store_where_nothing_can_be_made_says_so() -> None:
    with pytest.raises(StoreError, match="/proc/none"):
        open_store("/proc/none/tlsrpt.db", create=True)


@pytest.mark.parametrize("room", [0, 20_000, 60_000])
def test_a_disk_that_fills_while_a_store_is_made_says_so(tmp_path: Path, room: int) -> None:
    """Full before there is anything: an error worth trying again, and with room the same call makes the store."""
    path = tmp_path / "tlsrpt.db"
    code = (
        "import resource, sys\n"
        "import tlsrpt.store.sqlite_schema, alembic.command\n"
        "from tlsrpt.store.sqlite import open_store\n"
        "from tlsrpt.core.errors import StoreBusyError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))\n"
        "try: open_store(sys.argv[1], create=True)\n"
        "except StoreBusyError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path), str(room)], capture_output=True, text=True, check=True)
    assert "make room" in run.stdout
    open_store(str(path), create=True).close()


def test_many_may_make_the_same_store_at_once(tmp_path: Path) -> None:
    """A mail alias starts a process for each message: the first ones race."""
    code = (
        "import sys\n"
        "from tests.store.builders import *\n"
        "from tlsrpt.store.rows import prepare\n"
        "from tlsrpt.store.sqlite import open_store\n"
        "with open_store(sys.argv[1], create=True) as store:\n"
        "    print(store.keep([prepare(an_arrival(a_report(report_id=sys.argv[2])))])[0][0].result)"
    )
    path = str(tmp_path / "tlsrpt.db")
    runs = [
        subprocess.Popen([sys.executable, "-c", code, path, str(n % 2)], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    assert sorted(run.communicate(timeout=120)[0].strip() for run in runs) == ["known", "known", "new", "new"]


def test_the_migrations_make_what_the_schema_says(path: Path) -> None:
    """Two descriptions of one thing: Alembic finds no difference, nor do we in what it does not compare."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
        made = dict(connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all())
    engine.dispose()
    fresh = sa.create_engine("sqlite://")
    with fresh.connect() as connection:
        schema.metadata.create_all(connection)
        for name, sql in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
            assert made[name].split() == sql.split(), name  # WITHOUT ROWID, the order of columns, foreign keys
    fresh.dispose()


def test_a_new_store_is_what_the_migrations_make(tmp_path: Path) -> None:
    """`head.sql` is written by the migrations: after adding one, replace it by what this test compares it with."""
    (tmp_path / "s.db").touch()
    db = connect(tmp_path / "s.db", timeout_s=5)
    db.execute("PRAGMA journal_mode = WAL")
    migrate(db)
    assert HEAD_SQL.read_text(encoding="utf-8") == schema_sql(db)
    db.close()


def test_the_known_revisions_are_the_migrations() -> None:
    """`version.py` knows them without Alembic; here they are held against it."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(steps)) == REVISIONS
    assert version.REVISIONS[-1] == HEAD


def test_opening_imports_neither_sqlalchemy_nor_alembic(path: Path) -> None:
    """`ingest` into a store that is there stays fast."""
    code = (
        "import sys\n"
        "from tlsrpt.store.sqlite import open_store\n"
        "open_store(sys.argv[1], create=True).close()\n"
        "print({'sqlalchemy', 'alembic'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_folder_that_is_a_file_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for below in ("store.db", "folder/store.db"):
        with pytest.raises(StoreError, match="its folder is a file"):
            open_store(str(tmp_path / "file" / below), create=True)


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    other = path.with_name("backup.db")
    open_store(str(other), create=True).close()
    other.rename(path)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("change", [removed, replaced, emptied])
def test_nothing_is_acknowledged_into_a_file_that_nobody_will_read(path: Path, change: Callable[[Path], None]) -> None:
    """DESIGN promise 1, and an administrator who does not stop the service first."""
    with open_store(str(path)) as store:
        change(path)
        with pytest.raises(StoreError, match="while it was in use"):
            store.keep([prepare(an_arrival(a_report(day=1)))])
        assert not store.connection.in_transaction


def test_a_file_that_goes_in_the_middle_of_a_commit_is_not_acknowledged(path: Path) -> None:
    with open_store(str(path)) as store, pytest.raises(StoreError, match="while it was in use"), store.writing():
        removed(path)
