"""Making a store in SQLite and bringing an old one up to date. Only here, and only when needed, is Alembic imported.

A new store is made from `head.sql`, which is what the migrations make, written down: to run them takes half a second,
mostly imports, and a mail alias may be waiting. A test holds the file against the migrations.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path

from tlsrpt.core.errors import StoreError
from tlsrpt.store.sqlite import (
    connect,
    engine_over,
    give_to_folders_owner,
    make_file,
    refuse_other_files,
    revision_of,
    translated,
    unwrapped,
)
from tlsrpt.store.version import APPLICATION_ID, HEAD

# A mail of the usual size takes half a page of 4 KiB, and the other half stays empty: with 8 KiB the file is smaller by
# a quarter and keeping a report takes a fifth less time.
PAGE_BYTES = 8192
MIGRATIONS = Path(__file__).parent / "migrations"
HEAD_SQL = MIGRATIONS / "head.sql"


def create_if_missing(path: Path, *, timeout_s: float) -> None:
    """Make the store unless it is there; two processes may try at once, and one may be killed while it does."""
    try:
        if path.exists() and path.stat().st_size:
            refuse_other_files(path)
        else:
            _make_folder(path.parent)
            make_file(path)
    except OSError as error:
        raise StoreError(
            error.strerror or "can't be made", where=str(path), fix="see that folder, or name another with --store"
        ) from error
    with translated(path):
        db = connect(path, timeout_s=timeout_s)
        try:
            if revision_of(path, db) == "":
                db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                _use_wal(db, timeout_s)
                _make_tables(db)
                _sync_folder(path.parent)
        finally:
            db.close()


def _make_tables(db: sqlite3.Connection) -> None:
    """Everything that the migrations make, in one transaction; nothing where another process was faster."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in HEAD_SQL.read_text(encoding="utf-8").split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD,))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def schema_sql(db: sqlite3.Connection) -> str:
    """The tables and indexes of a store, as `head.sql` has them."""
    rows = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid")
    return "".join(f"{sql};\n" for (sql,) in rows)


def migrate(db: sqlite3.Connection) -> None:
    """Run the migrations that are missing, in one transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with unwrapped(), engine_over(db).connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        command.upgrade(config, "head")  # nothing to do where another process was faster
        connection.commit()


def _use_wal(db: sqlite3.Connection, timeout_s: float) -> None:
    """Switch to WAL, for ever; SQLite's own waiting does not cover this when two processes do it at once."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    if folder.exists():  # or `mkdir` would say "File exists", as if that were of the store
        raise NotADirectoryError(errno.ENOTDIR, "its folder is a file")
    _make_folder(folder.parent)
    folder.mkdir(mode=0o750, exist_ok=True)
    give_to_folders_owner(folder)


def _sync_folder(folder: Path) -> None:
    """The file's name must be on the disk too before anything in it is acknowledged."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
