"""What is in a store, an online copy of it, and bringing an old one up to date."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tlsrpt.core.errors import StoreError
from tlsrpt.store.answers import StoreInfo, Upgraded
from tlsrpt.store.days import from_day, from_seconds
from tlsrpt.store.sqlite import (
    Store,
    connect,
    make_file,
    missing_store,
    newer_store,
    refuse_other_files,
    revision_of,
    sqlite_path,
    translated,
)
from tlsrpt.store.version import HEAD, REVISIONS

_COUNTS = {
    "documents": "SELECT count(*) FROM document",
    "raw_bytes": "SELECT coalesce(sum(size_bytes), 0) FROM document WHERE raw IS NOT NULL",
    "packed_bytes": "SELECT coalesce(sum(length(raw)), 0) FROM document",
    "reports": "SELECT count(*) FROM report",
    "conflicts": "SELECT count(*) FROM report WHERE counted = 0 AND foreign_ = 0",
    "foreign": "SELECT count(*) FROM report WHERE foreign_ = 1",
    "proven": "SELECT count(*) FROM report WHERE dkim = 'pass'",
    "pruned": "SELECT count(*) FROM report WHERE pruned = 1",
    "quarantined": "SELECT count(*) FROM quarantine WHERE state = 'waiting'",
    "failure_rows": "SELECT count(*) FROM failure",
    "domains": "SELECT count(*) FROM domain WHERE report_domain <> ''",
    "senders": "SELECT count(DISTINCT sender) FROM tally WHERE domain = '*'",
}


def info(store: Store) -> StoreInfo:
    """Counts, sizes, first and last day."""
    with store.snapshot() as db:
        counts: dict[str, int] = {name: db.execute(query).fetchone()[0] for name, query in _COUNTS.items()}
        first, last = db.execute("SELECT min(day), max(day) FROM tally WHERE domain = '*'").fetchone()
        (received,) = db.execute("SELECT max(received_at) FROM document").fetchone()
    return StoreInfo(
        path=str(store.path),
        schema=HEAD,
        size_bytes=size_of(store.path),
        first_day=None if first is None else from_day(first),
        last_day=None if last is None else from_day(last),
        last_received=None if received is None else from_seconds(received),
        **counts,
    )


def size_of(path: Path) -> int:
    """Bytes of a store's files."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def backup(store: Store, target: Path) -> int:
    """Copy a store to a new file while others write to it; gives the copy's size.

    Raises:
        StoreError: the file exists already or can't be made.
        StoreBusyError: no space for it; nothing is left behind.
    """
    with translated(store.path):
        _copy(store.connection, target)
    return target.stat().st_size


def upgrade_store(url: str, *, timeout_s: float = 30.0) -> Upgraded:
    """Bring a store to this program's schema, after a copy beside it; nothing to do for one that is there already.

    Raises:
        StoreError: there is none, it is newer than this program, or not a store.
        StoreBusyError: in use, or no space; it is as it was.
    """
    path = sqlite_path(url)
    refuse_other_files(path)
    with translated(path), closing(connect(path, timeout_s=timeout_s)) as db:
        before = revision_of(path, db)
        if before == HEAD:
            return Upgraded(before=before, after=before, backup=None)
        if not before:
            raise missing_store(path)
        if before not in REVISIONS:
            raise newer_store(path, before)
        from tlsrpt.store.sqlite_schema import migrate

        copy = _free_name(path, before)
        _copy(db, copy)
        try:
            migrate(db)
        except BaseException:  # the store is as it was: a service that tries again and again must not fill the disk
            copy.unlink()
            raise
    return Upgraded(before=before, after=HEAD, backup=str(copy))


def upgrade_if_there(url: str) -> str | None:
    """Bring a store to this program's schema, if there is one; the copy's path where there was anything to do.

    One without tables is none yet: another process makes it just now, or was killed while it did. Whoever opens it to
    write makes the rest.

    Raises: as `upgrade_store`.
    """
    path = sqlite_path(url)
    if not path.exists() or not path.stat().st_size:
        return None
    refuse_other_files(path)
    with translated(path), closing(connect(path, timeout_s=30.0)) as db:
        if not revision_of(path, db):
            return None
    return upgrade_store(url).backup


def _free_name(path: Path, revision: str) -> Path:
    number = 1
    while True:
        copy = path.with_name(f"{path.name}.{revision}{'' if number == 1 else f'-{number}'}.bak")
        if not copy.exists():
            return copy
        number += 1


def _copy(db: sqlite3.Connection, target: Path) -> None:
    """In one step: readers and writers of a WAL database go on meanwhile, and no writer can make it begin again."""
    try:
        made = make_file(target)
    except OSError as error:
        raise StoreError(error.strerror or "can't be made", where=str(target), fix="name another file") from error
    if not made:
        raise StoreError("exists already; a backup overwrites nothing", where=str(target), fix="name another file")
    try:
        with closing(connect(target, timeout_s=0)) as copy:
            db.backup(copy)
    except BaseException:
        target.unlink()
        raise
