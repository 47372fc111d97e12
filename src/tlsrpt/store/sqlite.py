"""A store in one SQLite file: opening it, writing to it, and its errors as ours.

WAL, so that readers and one writer work side by side; `synchronous=FULL`, since in WAL mode less may lose an
acknowledged commit when power fails; a writer begins with BEGIN IMMEDIATE, so that it waits where waiting helps and
never half-way. Writing goes through plain `sqlite3`: SQLAlchemy takes longer to import than 5,000 reports to keep.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote

from tlsrpt.core.errors import StoreBusyError, StoreError
from tlsrpt.store import sqlite_service, sqlite_standing
from tlsrpt.store.rows import Prepared
from tlsrpt.store.sqlite_keep import keep_batch, release_entry
from tlsrpt.store.values import Kept, Released, SourceState
from tlsrpt.store.version import APPLICATION_ID, HEAD, REVISIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_HEADER = b"SQLite format 3\0"
_MOST_KINDS = 20_000
_ADOPTED_AT_ONCE = 200  # reports in one transaction: nobody who writes waits long
_AGAIN = "try again; if it stays so, see what holds the file"
_BUSY = {sqlite3.SQLITE_BUSY: "locked by another process", sqlite3.SQLITE_LOCKED: "locked"}
_FULL = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk can't be written or read",
    sqlite3.SQLITE_NOMEM: "out of memory",
}
_WRONG = {
    sqlite3.SQLITE_READONLY: ("may not be written", "run as the owner of the file"),
    sqlite3.SQLITE_PERM: ("may not be read", "run as the owner of the file"),
    sqlite3.SQLITE_AUTH: ("may not be read", "run as the owner of the file"),
    sqlite3.SQLITE_CANTOPEN: ("can't be opened", "see whether file and folder may be read and written by this user"),
    sqlite3.SQLITE_NOTADB: ("not a database", "name another file"),
    sqlite3.SQLITE_CORRUPT: ("damaged", "see `tlsrpt store check`; a backup can take its place"),
}


class Store:
    """An open store. For one thread at a time."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path = path
        self._db = db
        self._engine: Engine | None = None
        self._kinds: set[int] = set()  # of failures, committed by this process: no need to offer them again
        self._file = _file_at(path)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the last one to close it puts everything into the one file."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None
        self._db.close()

    def keep(self, batch: Sequence[Prepared]) -> list[list[Kept]]:
        """Keep a batch of documents in one transaction: all of it, or, where this raises, nothing.

        Returns what became of each document's reports and faults, in their order. When this has returned it is on
        the disk, and only then may a source be told so (DESIGN promise 1).

        Raises:
            StoreBusyError: locked for too long, or no space; nothing was kept, try again.
            StoreError: the store may not be written.
        """
        with self.writing() as db:
            kept, kinds = keep_batch(db, batch, self._kinds)
        self._remember(kinds)
        return kept

    def keep_each(self, batch: Sequence[Prepared]) -> list[list[Kept] | StoreError]:
        """Keep a batch of documents in one transaction, but for those that by themselves can't be kept.

        For a batch of documents that have nothing to do with each other: one that is poison (a value that the engine
        refuses, a defect of ours) must not keep the others out, now or at the next attempt.

        Returns:
            For each document what became of its reports and faults, or why it was not kept. The others are on the disk.
        Raises:
            StoreBusyError: locked for too long, or no space; nothing was kept, try again.
            StoreError: the store may not be written.
        """
        try:
            return list(self.keep(batch))
        except Exception as error:
            if not _lies_in_a_document(error):
                raise
        kept: list[list[Kept] | StoreError] = []
        kinds: set[int] = set()
        with self.writing() as db:
            for prepared in batch:
                db.execute("SAVEPOINT document")
                try:
                    (one,), new_kinds = keep_batch(db, [prepared], self._kinds)
                except Exception as error:
                    if not _lies_in_a_document(error):
                        raise
                    db.execute("ROLLBACK TO document")
                    what = f"this document can't be kept: {error}"
                    kept.append(StoreError(what, where=str(self.path), fix="please report it as a defect of tlsrpt"))
                else:
                    kept.append(one)
                    kinds |= new_kinds
                db.execute("RELEASE document")
        self._remember(kinds)
        return kept

    def _remember(self, kinds: set[int]) -> None:
        if len(self._kinds) < _MOST_KINDS:
            self._kinds |= kinds

    def adopt(self, is_ours: Callable[[str], bool]) -> int:
        """Count the foreign reports (A-14) whose domains are ours by now; for when the owned domains have changed.

        A report is ours where any of its report domains or policy domains is. What is ours once stays so.

        Args:
            is_ours: asked with domains as the store has them: lower-case A-labels where they are domain names.
        Returns:
            How many reports are foreign no longer.
        Raises:
            StoreBusyError, StoreError: what was adopted by then is; the rest waits for the next time.
        """
        adopted, after = 0, 0
        while True:
            some, following = self.adopt_next(is_ours, after)
            adopted += some
            if following is None:
                return adopted
            after = following

    def adopt_next(self, is_ours: Callable[[str], bool], after: int = 0) -> tuple[int, int | None]:
        """A part of `adopt`, in one transaction, for who has other things to keep in between.

        Args:
            after: what the part before said; 0 for the first.
        Returns:
            How many reports are foreign no longer, and where to go on; None at the end.
        """
        with self.snapshot() as db:
            ours, following = sqlite_standing.foreign_after(db, after, _ADOPTED_AT_ONCE, is_ours)
        adopted = 0
        if ours:
            with self.writing() as db:
                adopted = sum(sqlite_standing.adopt(db, report_id) for report_id in ours)
        return adopted, following

    def place(self, key: str) -> str | None:
        """What was last kept under a key by `keep_place`: where a source goes on. None for nothing."""
        with translated(self.path):
            return sqlite_service.place(self._db, key)

    def keep_place(self, key: str, value: str) -> None:
        """Keep where a source goes on after a restart; returns once it is on the disk.

        Raises: StoreError, as `keep`.
        """
        with self.writing() as db:
            sqlite_service.keep_place(db, key, value)

    def keep_source_states(self, states: Sequence[SourceState], *, configured: Collection[str] = ()) -> None:
        """Write down how the service's sources do, one row each; rows of sources that are gone are removed.

        Args:
            configured: names of sources that another process may run: their rows stay, too.
        Raises: StoreError, as `keep`.
        """
        with self.writing() as db:
            sqlite_service.keep_source_states(db, states, configured)

    def source_states(self) -> list[SourceState]:
        """How the service's sources did when it last wrote it down, by name; the service may have ended since."""
        with translated(self.path):
            return sqlite_service.source_states(self._db)

    def quarantine_size(self) -> tuple[int, int]:
        """How many entries wait in quarantine, and the size of their documents in bytes, as received.

        Reads an index of what waits, and each such document's row: some 10 ms for 10,000.
        """
        with translated(self.path):
            return sqlite_service.quarantine_size(self._db)

    def release(self, quarantine_id: int, prepared: Prepared) -> Released:
        """Keep what the reader makes today of a quarantined document, and mark its entries, in one transaction.

        Args:
            quarantine_id: the entry that was retried; those of the same document are settled with it.
            prepared: the document read again, from exactly the quarantined bytes.
        """
        with self.writing() as db:
            return release_entry(db, quarantine_id, prepared)

    def wait_for_others(self, timeout_s: float) -> None:
        """From now on, wait so long at most for another process that writes."""
        self._db.execute(f"PRAGMA busy_timeout = {round(timeout_s * 1000)}")

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """One write transaction: committed at the end, rolled back by any exception.

        Raises:
            StoreError: also where the file was removed or replaced since it was opened. SQLite writes on into the one
                that it has open, which nobody will ever read, and its log into that of the new one.
        """
        db = self._db
        self._refuse_another_file()
        with translated(self.path):
            db.execute("BEGIN IMMEDIATE")
            try:
                (revision,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
                if revision != HEAD:
                    raise StoreError("upgraded by another process meanwhile", where=str(self.path), fix="start again")
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                raise
        self._refuse_another_file()

    def _refuse_another_file(self) -> None:
        if _file_at(self.path) != self._file:
            raise StoreError(
                "the file was removed or replaced while it was in use",
                where=str(self.path),
                fix="stop the service before you touch its store",
            )

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """One read transaction for SQLAlchemy's selects: all of them see the store at the same moment."""
        if self._engine is None:
            self._engine = engine_over(self._db)
        with translated(self.path), unwrapped(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
            connection.rollback()

    @contextmanager
    def snapshot(self) -> Generator[sqlite3.Connection]:
        """One read transaction on the bare connection, for the other `sqlite_*` files."""
        with translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @property
    def connection(self) -> sqlite3.Connection:
        """The bare connection, for what can't be done in a transaction."""
        return self._db


def open_store(url: str, *, create: bool = False, timeout_s: float = 30.0) -> Store:
    """Open a store; close it, or use it in a `with` block.

    Args:
        url: `sqlite:////absolute/path.db`, `sqlite:///relative.db`, or just a path.
        create: make it where there is none. It is never migrated here: that is `upgrade_store`'s.
        timeout_s: how long to wait for another process that writes.
    Raises:
        StoreError: there is none, it is of another version, damaged, not ours, or not readable.
        StoreBusyError: locked for longer than the timeout, or no space; worth trying again.
    """
    path = sqlite_path(url)
    if create:
        from tlsrpt.store.sqlite_schema import create_if_missing

        create_if_missing(path, timeout_s=timeout_s)
    refuse_other_files(path)
    with translated(path):
        db = connect(path, timeout_s=timeout_s)
        try:
            _check_version(path, revision_of(path, db))
        except BaseException:
            db.close()
            raise
    return Store(path, db)


def sqlite_path(url: str) -> Path:
    """The file that a store URL names.

    Raises: StoreError for the URL of anything else.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        path = url
    elif scheme == "sqlite" and rest.startswith("/"):
        path = rest[1:]
    else:
        raise StoreError(
            f"no store of this kind: {scheme}://" if scheme != "sqlite" else "a host in a SQLite address",
            where=url,
            fix="write sqlite:////absolute/path.db, sqlite:///relative.db or a path; other databases come later",
        )
    if not path or path.startswith(":") or "\0" in path:
        raise StoreError("no file named", where=url, fix="write sqlite:////absolute/path.db or a path")
    return Path(path)


def refuse_other_files(path: Path) -> None:
    """Raise StoreError unless the path is a file of SQLite's that may be read; says what to do."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_HEADER))
    except FileNotFoundError as error:
        raise missing_store(path) from error
    except OSError as error:
        fix = "run as the owner of the file" if isinstance(error, PermissionError) else "name another file"
        raise StoreError(error.strerror or "can't be opened", where=str(path), fix=fix) from error
    if not start:
        raise missing_store(path)
    if start != _HEADER:
        raise StoreError("not a store: no SQLite database", where=str(path), fix="name another file")


def connect(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    """A connection as all of ours are; the file must exist."""
    db = sqlite3.connect(
        f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=timeout_s, cached_statements=128
    )
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cache_size = -16000")  # 16 MB: the indexes on hashes are written all over
    db.execute("PRAGMA wal_autocheckpoint = 2000")  # 16 MB: pages written by several batches go home once
    db.execute("PRAGMA journal_size_limit = 67108864")
    return db


def revision_of(path: Path, db: sqlite3.Connection) -> str:
    """The schema's revision; empty for a database without any table.

    Raises: StoreError where the database is another application's.
    """
    # In this order: another process may be making them, both in one transaction.
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    if not tables and application_id in (0, APPLICATION_ID):
        return ""
    if application_id != APPLICATION_ID or "alembic_version" not in tables:
        raise StoreError("a database of another application", where=str(path), fix="name another file")
    row = db.execute("SELECT version_num FROM alembic_version").fetchone()
    return row[0] if row else ""


def _check_version(path: Path, revision: str) -> None:
    if revision == HEAD:
        return
    if not revision:
        raise missing_store(path)
    if revision in REVISIONS:
        raise StoreError(
            f"made by an older tlsrpt (schema {revision}, this one speaks {HEAD})",
            where=str(path),
            fix="run `tlsrpt store upgrade`; it makes a backup first",
        )
    raise newer_store(path, revision)


def newer_store(path: Path, revision: str) -> StoreError:
    """The error for a schema that this program does not know."""
    return StoreError(
        f"made by a newer tlsrpt (schema {revision}, this one speaks {HEAD})", where=str(path), fix="update tlsrpt"
    )


def missing_store(path: Path) -> StoreError:
    """The error for nothing there: names the place that was looked at."""
    return StoreError(
        "no store here yet",
        where=str(path),
        fix="`tlsrpt ingest PATH` or the service makes one; --store or TLSRPT_STORE names another",
    )


@contextmanager
def translated(path: Path) -> Generator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _as_ours(path, error) from error


def _as_ours(path: Path, error: sqlite3.Error) -> StoreError:
    code = _code(error)
    if code in _BUSY:
        return StoreBusyError(_BUSY[code], where=str(path), fix=_AGAIN)
    if code in _FULL:
        return StoreBusyError(f"{_FULL[code]} ({error})", where=str(path), fix="make room; nothing was half kept")
    if code in _WRONG:
        what, fix = _WRONG[code]
        return StoreError(what, where=str(path), fix=fix)
    return StoreError(f"unexpected: {error}", where=str(path), fix="see `tlsrpt store check`")


def _file_at(path: Path) -> tuple[int, int, bool] | None:
    """Which file has this name, and whether anything is in it; None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size > 0


def _lies_in_a_document(error: Exception) -> bool:
    """Whether the store itself is well, and the next document may be kept."""
    if isinstance(error, MemoryError):
        return False
    if isinstance(error, StoreError):
        cause = error.__cause__
        return isinstance(cause, sqlite3.Error) and _code(cause) not in _BUSY | _FULL | _WRONG
    if isinstance(error, sqlite3.Error):
        return _code(error) not in _BUSY | _FULL | _WRONG
    return True


def _code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


@contextmanager
def unwrapped() -> Generator[None]:
    """SQLAlchemy's errors as those of SQLite that they carry, to be translated."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise error.orig from error
        raise


def engine_over(db: sqlite3.Connection) -> Engine:
    """SQLAlchemy on a connection that stays ours: it begins nothing by itself."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    return create_engine("sqlite://", creator=lambda: db, poolclass=StaticPool)


def give_to_folders_owner(path: Path) -> None:
    """Where root makes a file, the service that owns the folder must be able to write it."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)


def make_file(path: Path) -> bool:
    """Make an empty file of mode 0640 that belongs to the folder's owner; False where there is one already."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except FileExistsError:
        return False
    with closing(os.fdopen(handle, "wb")):
        os.fchmod(handle, 0o640)  # whatever the umask: the group is meant to read
    give_to_folders_owner(path)
    return True
