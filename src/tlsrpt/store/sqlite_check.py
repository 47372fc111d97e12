"""Is a store whole? The file itself, what refers to what, and both tallies counted again from the facts."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec

from tlsrpt.store.answers import Checked
from tlsrpt.store.counting import TEXT_LIMIT, Detail, Entry, make_detail, policy_mode, share
from tlsrpt.store.rows import unpack
from tlsrpt.store.sqlite import Store
from tlsrpt.store.sqlite_keep import ADD_FAILURE_TALLY, ADD_TALLY

MOST_PROBLEMS = 50
_AT_ONCE = 500  # reports

_REPORTS = (
    "SELECT id, counted, sender, day, successful, failed, findings FROM report"
    " WHERE id > ? AND pruned = 0 AND day >= ? ORDER BY id LIMIT ?"
)
_POLICIES = (
    "SELECT report_id, n, policy_type, policy_domain, report_domain, policy_string, successful, failed,"
    " failure_details FROM policy WHERE report_id BETWEEN ? AND ? ORDER BY report_id, n"
)
_FAILURES = (
    "SELECT failure.report_id, failure.n, failure.result_type, failure.receiving_mx_hostname, failure.receiving_ip,"
    " failure.failure_reason_code, failure.failed_session_count"
    " FROM (SELECT DISTINCT report_id, report_domain FROM policy WHERE report_id BETWEEN ? AND ?) AS place"
    " JOIN report ON report.id = place.report_id"
    " JOIN failure ON failure.report_domain = place.report_domain AND failure.day = report.day"
    " AND failure.report_id = report.id ORDER BY failure.report_id, failure.n, failure.m"
)
_TALLIES = {
    "tally": (
        "domain, day, sender, policy_type, report_domain",
        "reports, mentions, sent_successful, sent_failed, counted_total, counted_failed, not_itemised",
        ADD_TALLY,
    ),
    "failure_tally": (
        "domain, day, sender, kind_id, report_domain",
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
        for counted, day, sender, entries in _facts(db, since, problems):
            if counted:
                reports += 1
                part = share(day, sender, entries)
                for table, rows in (("tally", part.tally), ("failure_tally", part.failures)):
                    add = _TALLIES[table][2].format(table=f"temp.{table}_again")
                    db.executemany(add, [(*row_key, *row_figures) for row_key, row_figures in rows])
        for table, (key, figures, _) in _TALLIES.items():
            for row in _differences(db, table, key, figures, since):
                problems.say(row)
    finally:
        for table in _TALLIES:
            db.execute(f"DROP TABLE temp.{table}_again")
    return reports


def _facts(db: sqlite3.Connection, since: int, problems: _Problems) -> Iterator[tuple[int, int, str, list[Entry]]]:
    """Every report's facts, a few hundred reports at a time."""
    last = 0
    while rows := db.execute(_REPORTS, (last, since, _AT_ONCE)).fetchall():
        first, last = rows[0][0], rows[-1][0]
        details: dict[tuple[int, int], list[Detail]] = {}
        for report_id, n, *values in db.execute(_FAILURES, (first, last)):
            details.setdefault((report_id, n), []).append(make_detail(*values))
        policies: dict[int, list[Any]] = {}
        for policy in db.execute(_POLICIES, (first, last)):
            policies.setdefault(policy[0], []).append(policy)
        for id_, counted, sender, day, successful, failed, _ in rows:
            entries = [_entry(policy, details.get((id_, policy[1]), [])) for policy in policies.get(id_, [])]
            _check_sums(id_, (successful, failed), policies.get(id_, []), entries, problems)
            yield counted, day, sender, entries


def _entry(policy: Any, details: list[Detail]) -> Entry:
    _, _, policy_type, policy_domain, report_domain, policy_string, successful, failed, _ = policy
    return Entry(
        (policy_type or "")[:TEXT_LIMIT],
        policy_domain[:TEXT_LIMIT],
        report_domain,
        policy_mode(None if policy_string is None else msgspec.json.decode(policy_string)),
        successful,
        failed,
        details,
    )


def _check_sums(
    id_: int, sums: tuple[int, int], policies: list[Any], entries: list[Entry], problems: _Problems
) -> None:
    found = sum(entry.successful for entry in entries), sum(entry.failed for entry in entries)
    if found != sums:
        problems.say(f"report {id_}: its policies give {found} sessions, the report says {sums}")
    for policy, entry in zip(policies, entries, strict=True):
        if (policy[8] or 0) != len(entry.details):
            problems.say(f"report {id_}, policy {policy[1]}: {len(entry.details)} failure rows instead of {policy[8]}")


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
