"""Is a store whole? The file itself, what refers to what, which reports count, and both tallies counted again."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from hashlib import sha256

from tlsrpt.store.answers import Checked
from tlsrpt.store.counting import Entry, share
from tlsrpt.store.rows import unpack
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_facts import StoredEntry, entries_between
from tlsrpt.store.sqlite_tallies import ADD_FAILURE_TALLY, ADD_TALLY, tally_rows

MOST_PROBLEMS = 50
_AT_ONCE = 500  # reports

_REPORTS = (
    "SELECT id, counted, sender, day, successful, failed, dkim IS 'pass' FROM report"
    " WHERE id > ? AND pruned = 0 AND day >= ? ORDER BY id LIMIT ?"
)
_STANDINGS = {  # of the reports of one identity one counts, where any is ours; the others name it
    "SELECT id FROM report WHERE counted = 1 AND (foreign_ = 1 OR conflict_with IS NOT NULL)"
    " OR foreign_ = 1 AND conflict_with IS NOT NULL": "counted, foreign and in conflict do not go together",
    "SELECT one.id FROM report AS one LEFT JOIN report AS other ON other.id = one.conflict_with"
    " WHERE one.counted = 0 AND one.foreign_ = 0"
    " AND (other.id IS NULL OR other.counted = 0 OR other.identity <> one.identity)": (
        "not counted, and no report of its identity that counts instead is named"
    ),
    "SELECT max(id) FROM report WHERE counted = 1 GROUP BY identity HAVING count(*) > 1": (
        "counted beside another of its identity"
    ),
}
_TALLIES = {
    "tally": (
        "domain, day, sender, policy_type, report_domain, proven",
        "reports, mentions, sent_successful, sent_failed, counted_total, counted_failed, not_itemised",
        ADD_TALLY,
    ),
    "failure_tally": (
        "domain, day, sender, kind_id, report_domain, proven",
        "reports, sent_failed, counted_failed",
        ADD_FAILURE_TALLY,
    ),
}


class _Problems(list[str]):
    """What is wrong, the first ones in words and the others counted."""

    unsaid = 0

    def say(self, problem: str) -> None:
        if len(self) < MOST_PROBLEMS:
            self.append(problem)
        else:
            self.unsaid += 1

    def told(self) -> tuple[str, ...]:
        return (*self, f"and {self.unsaid} more") if self.unsaid else tuple(self)


def check(store: Store, *, raw: bool = False) -> Checked:
    """Look for damage; nothing is changed.

    Days whose facts were pruned are left alone: their tallies are all that there is.

    Args:
        raw: also unpack every document and hold it against its hash; reads all bytes that are kept.
    """
    problems = _Problems()
    with store.snapshot() as db:
        _check_file(db, problems)
        if problems:
            return Checked(reports=0, problems=problems.told())  # nothing that is read from it can be trusted
        for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check"):
            problems.say(f"{table}, row {rowid}: what it belongs to in {parent} is missing")
        for query, problem in _STANDINGS.items():
            for (id_,) in db.execute(query):
                problems.say(f"report {id_}: {problem}")
        row = db.execute("SELECT before FROM pruning WHERE what = 'facts'").fetchone()
        reports = _count_again(db, row[0] if row else 0, problems)
        if raw:
            _check_raw(db, problems)
    return Checked(reports=reports, problems=problems.told())


def _check_file(db: sqlite3.Connection, problems: _Problems) -> None:
    try:
        for (line,) in db.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})"):
            if line != "ok":
                problems.say(f"the file is damaged: {line}")
    except sqlite3.DatabaseError as error:  # so damaged that SQLite gives up looking
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        problems.say(f"the file is damaged: {error}")


def _count_again(db: sqlite3.Connection, since: int, problems: _Problems) -> int:
    """Recompute the tallies beside the stored ones, in temporary tables, and tell the differences."""
    for table, (key, figures, _) in _TALLIES.items():
        db.execute(f"CREATE TEMP TABLE {table}_again ({key}, {figures}, PRIMARY KEY ({key})) WITHOUT ROWID")
    try:
        reports = 0
        for counted, day, sender, proven, entries in _facts(db, since, problems):
            if counted:
                reports += 1
                part = share(day, sender, entries)
                for table, rows in (("tally", part.tally), ("failure_tally", part.failures)):
                    add = _TALLIES[table][2].format(table=f"temp.{table}_again")
                    db.executemany(add, tally_rows(rows, proven))
        for table, (key, figures, _) in _TALLIES.items():
            for row in _differences(db, table, key, figures, since):
                problems.say(row)
    finally:
        for table in _TALLIES:
            db.execute(f"DROP TABLE temp.{table}_again")
    return reports


def _facts(db: sqlite3.Connection, since: int, problems: _Problems) -> Iterator[tuple[int, int, str, int, list[Entry]]]:
    """Every report's facts, a few hundred reports at a time."""
    last = 0
    while rows := db.execute(_REPORTS, (last, since, _AT_ONCE)).fetchall():
        first, last = rows[0][0], rows[-1][0]
        stored = entries_between(db, first, last)
        for id_, counted, sender, day, successful, failed, proven in rows:
            entries = stored.get(id_, [])
            _check_sums(id_, (successful, failed), entries, problems)
            yield counted, day, sender, proven, [one.entry for one in entries]


def _check_sums(id_: int, sums: tuple[int, int], stored: list[StoredEntry], problems: _Problems) -> None:
    found = sum(one.entry.successful for one in stored), sum(one.entry.failed for one in stored)
    if found != sums:
        problems.say(f"report {id_}: its policies give {found} sessions, the report says {sums}")
    for n, declared, entry in stored:
        if declared != len(entry.details):
            problems.say(f"report {id_}, policy {n}: {len(entry.details)} failure rows instead of {declared}")


def _differences(db: sqlite3.Connection, table: str, key: str, figures: str, since: int) -> Iterator[str]:
    both = (
        f"SELECT {key}, {figures} FROM main.{table} WHERE day >= ?1",  # noqa: S608 (our own names)
        f"SELECT {key}, {figures} FROM temp.{table}_again",  # noqa: S608
    )
    for text, query in (
        ("is not what the facts give", f"{both[0]} EXCEPT {both[1]}"),
        ("is missing or not what is stored", f"{both[1]} EXCEPT {both[0]}"),
    ):
        for row in db.execute(query, (since,)):
            values = dict(zip(f"{key}, {figures}".split(", "), row, strict=True))
            yield f"{table}: {values} {text}"


def _check_raw(db: sqlite3.Connection, problems: _Problems) -> None:
    for id_, digest, size, packing, packed in db.execute(
        "SELECT id, sha256, size_bytes, packing, raw FROM document WHERE raw IS NOT NULL"
    ):
        try:
            raw = unpack(packing, packed)
        except zlib.error as error:
            problems.say(f"document {id_}: its bytes can't be unpacked: {error}")
            continue
        if len(raw) != size or sha256(raw).digest() != digest:
            problems.say(f"document {id_}: its bytes are not those that were received")
