"""Forgetting: bytes as received and facts have ages of their own, since both hold addresses; sums stay for ever.

What is left of a report is what recognises it (identity and content), so that a copy which comes later is still
known and counts nothing twice. A few hundred at a time: nobody who writes waits long.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime, time

from tlsrpt.core.errors import StoreBusyError
from tlsrpt.store.answers import Pruned
from tlsrpt.store.days import to_day
from tlsrpt.store.rows import seconds
from tlsrpt.store.sqlite import Store, translated
from tlsrpt.store.sqlite_facts import REMOVE_FACTS
from tlsrpt.store.sqlite_upkeep import size_of

_AT_ONCE = 500

_FORGET_BYTES = (
    "UPDATE document SET raw = NULL, packing = '' WHERE id = ?",
    "UPDATE quarantine SET state = 'pruned' WHERE document_id = ? AND state = 'waiting'",
)
_FORGET_FACTS = (
    *REMOVE_FACTS,
    "DELETE FROM sighting WHERE report_id = :report",
    "UPDATE report SET pruned = 1, where_ = '', organization_name = NULL, contact_info = NULL, report_id = NULL,"
    " extras = NULL, dkim_domain = NULL, findings = 0 WHERE id = :report",
    "UPDATE document SET file_name = NULL, header_from = NULL, header_report_domain = NULL, header_submitter = NULL,"
    " header_message_id = NULL, header_date = NULL WHERE id = :document"
    " AND NOT EXISTS (SELECT 1 FROM report WHERE document_id = :document AND pruned = 0)"
    " AND NOT EXISTS (SELECT 1 FROM quarantine WHERE document_id = :document AND state = 'waiting')",
)
_MARK = (
    "INSERT INTO pruning (what, before) VALUES (?, ?)"
    " ON CONFLICT (what) DO UPDATE SET before = max(before, excluded.before)"
)


def prune(store: Store, *, raw_before: date | None = None, facts_before: date | None = None) -> Pruned:
    """Remove what is older than an age, then make the file smaller.

    Args:
        raw_before: bytes received before this UTC day go; what was read from them stays. Quarantined bytes go too.
        facts_before: of reports on UTC days before this one policies, failure rows, findings and names go; the
            tallies, and with them every figure of `summary`, stay.
    Raises:
        StoreBusyError: locked for too long; some may be removed, the rest waits for the next time.
    """
    before = size_of(store.path)
    documents = 0 if raw_before is None else _forget_bytes(store, seconds(datetime.combine(raw_before, time(), UTC)))
    reports = 0 if facts_before is None else _forget_facts(store, to_day(facts_before))
    try:
        with translated(store.path):
            store.connection.execute("VACUUM")
            store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except StoreBusyError:  # in use, or no room for the copy that this takes: the freed pages are used again anyway
        return Pruned(documents=documents, reports=reports, freed_bytes=None)
    return Pruned(documents=documents, reports=reports, freed_bytes=max(0, before - size_of(store.path)))


def _forget_bytes(store: Store, before: int) -> int:
    query = "SELECT id FROM document WHERE id > ? AND received_at < ? AND raw IS NOT NULL ORDER BY id LIMIT ?"
    count = last = 0
    while True:
        with store.writing() as db:
            db.execute(_MARK, ("raw", before))
            ids = db.execute(query, (last, before, _AT_ONCE)).fetchall()
            for statement in _FORGET_BYTES:
                db.executemany(statement, ids)
        if not ids:
            return count
        count += len(ids)
        last = ids[-1][0]


def _forget_facts(store: Store, before: int) -> int:
    count, last = 0, (-1, 0)
    while True:
        with store.writing() as db:
            db.execute(_MARK, ("facts", before))  # first of all: from now on `check` leaves these days alone
            rows = _next_reports(db, last, before)
            for statement in _FORGET_FACTS:
                db.executemany(statement, rows)
        if not rows:
            return count
        count += len(rows)
        last = rows[-1]["day"], rows[-1]["report"]


def _next_reports(db: sqlite3.Connection, last: tuple[int, int], before: int) -> list[dict[str, int]]:
    """The next ones in the order of the days."""
    query = (
        "SELECT id, day, document_id FROM report"
        " WHERE (day, id) > (?, ?) AND day < ? AND pruned = 0 ORDER BY day, id LIMIT ?"
    )
    rows = db.execute(query, (*last, before, _AT_ONCE))
    return [{"report": id_, "day": day, "document": document} for id_, day, document in rows]
