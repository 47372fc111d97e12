"""Keeping documents in SQLite: what is new, what is known, what conflicts, and the rows of what is new.

Runs inside the caller's one write transaction. Ids are given here and not by the engine: rows of every table can then
be collected over the whole batch and sent a table at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence, Set
from typing import Any

from tlsrpt.core.errors import StoreError
from tlsrpt.store.counting import FailureFigures, FailureKey, Kind, TallyFigures, TallyKey
from tlsrpt.store.rows import Prepared, PreparedFault, PreparedReport, Row
from tlsrpt.store.sqlite_rows import insert
from tlsrpt.store.values import Kept, Released

MOST_SIGHTINGS = 20  # other documents remembered for one report; a flood of copies leaves no more rows than that

_ADD_DOCUMENT = (
    "INSERT INTO document (id, sha256, source, form, file_name, received_at, header_from, header_report_domain,"
    " header_submitter, header_message_id, header_date, size_bytes, packing, raw)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_REPORT = (
    "INSERT INTO report (id, document_id, counted, conflict_with, where_, identity, content, organization_name,"
    " contact_info, sender, report_id, start_datetime, end_datetime, day, received_at, successful, failed, findings,"
    " extras) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_POLICY = (
    "INSERT INTO policy (report_id, n, policy_type, policy_domain, report_domain, policy_string, mx_host, successful,"
    " failed, failure_details) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_FAILURE = (
    "INSERT INTO failure (report_id, report_domain, day, n, m, policy_type, policy_domain, result_type,"
    " failed_session_count, sending_mta_ip, receiving_mx_hostname, receiving_mx_helo, receiving_ip,"
    " additional_information, failure_reason_code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_FINDING = (
    "INSERT INTO finding (report_id, n, code, severity, where_, message, consequence, fix)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_QUARANTINE = (
    "INSERT INTO quarantine (id, document_id, where_, reason, source, received_at, state)"
    " VALUES (?, ?, ?, ?, ?, ?, 'waiting')"
)
_ADD_FILED = "INSERT INTO filed (report_id, domain, day) VALUES (?, ?, ?)"
_ADD_DOMAIN = "INSERT INTO domain (report_domain) VALUES (?) ON CONFLICT DO NOTHING"
_ADD_KIND = (
    "INSERT INTO failure_kind (id, policy_type, policy_mode, policy_domain, result_type, receiving_mx_hostname,"
    " receiving_ip, failure_reason_code) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_ADD_SIGHTING = (  # unless it is the very document that the report was kept from
    "INSERT INTO sighting (report_id, sha256, source, file_name, received_at)"
    " SELECT ?1, ?2, ?3, ?4, ?5 FROM report JOIN document ON document.id = report.document_id"
    " WHERE report.id = ?1 AND report.pruned = 0 AND document.sha256 <> ?2"
    " AND (SELECT count(*) FROM sighting WHERE report_id = ?1) < ?6"
    " ON CONFLICT DO NOTHING"
)
ADD_TALLY = (
    "INSERT INTO {table} (domain, day, sender, policy_type, report_domain, reports, mentions, sent_successful,"
    " sent_failed, counted_total, counted_failed, not_itemised) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (domain, day, sender, policy_type, report_domain) DO UPDATE SET reports = reports + excluded.reports,"
    " mentions = mentions + excluded.mentions, sent_successful = sent_successful + excluded.sent_successful,"
    " sent_failed = sent_failed + excluded.sent_failed, counted_total = counted_total + excluded.counted_total,"
    " counted_failed = counted_failed + excluded.counted_failed, not_itemised = not_itemised + excluded.not_itemised"
)
ADD_FAILURE_TALLY = (
    "INSERT INTO {table} (domain, day, sender, kind_id, report_domain, reports, sent_failed, counted_failed)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (domain, day, sender, kind_id, report_domain) DO UPDATE SET reports = reports + excluded.reports,"
    " sent_failed = sent_failed + excluded.sent_failed, counted_failed = counted_failed + excluded.counted_failed"
)
_VERSIONS = "SELECT identity, id, content, counted FROM report WHERE identity IN ({marks}) ORDER BY id"
_DOCUMENTS = "SELECT sha256, id FROM document WHERE sha256 IN ({marks})"
_AT_ONCE = 500  # values in one question; SQLite before 3.32 takes 999


def keep_batch(db: sqlite3.Connection, batch: Sequence[Prepared], known: Set[int]) -> tuple[list[list[Kept]], set[int]]:
    """See `Store.keep`.

    Args:
        known: kinds of failure that are in the store for certain; they are never removed.
    Returns:
        What became of each document, and the kinds that are known from now on, once this is committed.
    """
    keeping = _Keeping(db, batch, known)
    kept = [keeping.keep(prepared) for prepared in batch]
    return kept, keeping.send()


def release_entry(db: sqlite3.Connection, quarantine_id: int, prepared: Prepared) -> Released:
    """See `Store.release`."""
    row = db.execute(
        "SELECT document.id, document.sha256 FROM quarantine JOIN document ON document.id = quarantine.document_id"
        " WHERE quarantine.id = ?",
        (min(quarantine_id, 2**63 - 1),),
    ).fetchone()
    if row is None:
        raise StoreError(f"no quarantine entry {quarantine_id}", fix="see `tlsrpt quarantine list`")
    document_id, sha256 = row
    if sha256 != prepared.sha256:
        raise ValueError("release wants the quarantined bytes themselves, read again")
    (kept,), _ = keep_batch(db, [prepared], frozenset())
    still = {item.where: item.reason for item in prepared.items if isinstance(item, PreparedFault)}
    settled = "released" if any(isinstance(item, PreparedReport) for item in prepared.items) else "other"
    entries = db.execute("SELECT id, where_ FROM quarantine WHERE document_id = ?", (document_id,)).fetchall()
    for entry_id, where in entries:
        if where in still:
            update = ("waiting", still[where], entry_id)
            db.execute("UPDATE quarantine SET state = ?, reason = ? WHERE id = ?", update)
        else:
            db.execute("UPDATE quarantine SET state = ? WHERE id = ?", (settled, entry_id))
    (state,) = db.execute("SELECT state FROM quarantine WHERE id = ?", (quarantine_id,)).fetchone()
    return Released(state=state, kept=tuple(kept))


class _Keeping:
    """The rows of one batch, collected; and what the batch itself has brought already."""

    def __init__(self, db: sqlite3.Connection, batch: Sequence[Prepared], known: Set[int]) -> None:
        self._db = db
        self._known_kinds = known
        self._next_document = self._next("document")
        self._next_report = self._next("report")
        self._next_quarantine = self._next("quarantine")
        self._versions: dict[bytes, dict[bytes, tuple[int, int]]] = {}  # identity -> content -> id, counted
        self._documents: dict[bytes, int] = {}  # sha256 -> id
        self._look_up(batch)
        self._places: dict[tuple[int, str], int] = {}  # document, where -> quarantine entry
        self._rows: dict[str, list[Row]] = {
            statement: []
            for statement in (
                _ADD_DOCUMENT,
                _ADD_REPORT,
                _ADD_POLICY,
                _ADD_FAILURE,
                _ADD_FINDING,
                _ADD_FILED,
                _ADD_QUARANTINE,
                _ADD_SIGHTING,
            )
        }
        self._domains: set[str] = set()
        self._kinds: dict[int, Kind] = {}
        self._tally: dict[TallyKey, TallyFigures] = {}
        self._failures: dict[FailureKey, FailureFigures] = {}

    def _next(self, table: str) -> int:
        (highest,) = self._db.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608 (our own names)
        return (highest or 0) + 1

    def _look_up(self, batch: Sequence[Prepared]) -> None:
        """What the store knows of the batch, in a few questions instead of two for each document."""
        for item in (item for prepared in batch for item in prepared.items if isinstance(item, PreparedReport)):
            self._versions[item.identity] = {}
        for identity, id_, content, counted in self._ask(_VERSIONS, list(self._versions)):
            self._versions[identity][content] = id_, counted
        self._documents.update(self._ask(_DOCUMENTS, [prepared.sha256 for prepared in batch if prepared.items]))

    def _ask(self, query: str, values: Sequence[bytes]) -> Iterator[Any]:
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            yield from self._db.execute(query.format(marks=", ".join("?" * len(some))), some)

    def keep(self, prepared: Prepared) -> list[Kept]:
        return [
            self._keep_report(prepared, item) if isinstance(item, PreparedReport) else self._keep_fault(prepared, item)
            for item in prepared.items
        ]

    def _keep_report(self, prepared: Prepared, item: PreparedReport) -> Kept:
        versions = self._versions[item.identity]
        known = versions.get(item.content)
        if known is not None:
            self._rows[_ADD_SIGHTING].append(
                (known[0], prepared.sha256, prepared.source, prepared.file_name, prepared.received_at, MOST_SIGHTINGS)
            )
            return Kept(result="known", id=known[0], report_id=item.report_id)
        first = next((id_ for id_, counted in versions.values() if counted), None)
        report_id = self._next_report
        self._next_report += 1
        versions[item.content] = (report_id, first is None)
        self._add_rows(report_id, self._document(prepared), first, item)
        if first is not None:
            reason = f"same sender, report-id, window and domains as report {first}, other content: kept, not counted"
            return Kept(result="conflict", id=report_id, report_id=item.report_id, reason=reason)
        self._count(item)
        return Kept(result="new", id=report_id, report_id=item.report_id)

    def _add_rows(self, id_: int, document_id: int, conflict_with: int | None, item: PreparedReport) -> None:
        rows = self._rows
        rows[_ADD_REPORT].append((id_, document_id, int(conflict_with is None), conflict_with, *item.report))
        rows[_ADD_POLICY].extend([(id_, *row) for row in item.policies])
        rows[_ADD_FAILURE].extend([(id_, *row) for row in item.failures])
        rows[_ADD_FINDING].extend([(id_, *row) for row in item.findings])
        rows[_ADD_FILED].extend([(id_, *row) for row in item.filed])

    def _count(self, item: PreparedReport) -> None:
        self._domains.update(item.domains)
        share = item.share
        for kind in share.kinds:
            if kind[0] not in self._known_kinds:
                self._kinds[kind[0]] = kind
        _add_up(self._tally, share.tally)
        _add_up(self._failures, share.failures)

    def _document(self, prepared: Prepared) -> int:
        """The document's id; it is kept once, with the first of its reports that is new."""
        known = self._documents.get(prepared.sha256)
        if known is None:
            known = self._documents[prepared.sha256] = self._next_document
            self._next_document += 1
            self._rows[_ADD_DOCUMENT].append((known, *prepared.document))
        return known

    def _keep_fault(self, prepared: Prepared, item: PreparedFault) -> Kept:
        document_id = self._document(prepared)
        place = document_id, item.where
        known = self._places.get(place)
        if known is None:
            row = self._db.execute("SELECT id FROM quarantine WHERE document_id = ? AND where_ = ?", place).fetchone()
            known = row and row[0]
        if known is not None:
            return Kept(result="known", id=known, report_id=item.report_id, reason=item.reason)
        id_ = self._places[place] = self._next_quarantine
        self._next_quarantine += 1
        self._rows[_ADD_QUARANTINE].append((id_, *place, item.reason, prepared.source, prepared.received_at))
        return Kept(result="quarantined", id=id_, report_id=item.report_id, reason=item.reason)

    def send(self) -> set[int]:
        """Write all that was collected, parents before children; returns the kinds that were not known before."""
        db = self._db
        for statement, rows in self._rows.items():
            if statement is _ADD_SIGHTING:
                db.executemany(statement, rows)
            else:
                insert(db, statement, rows)
        insert(db, _ADD_DOMAIN, [(domain,) for domain in sorted(self._domains)])
        insert(db, _ADD_KIND, list(self._kinds.values()))
        insert(db, ADD_TALLY.format(table="tally"), [(*key, *figures) for key, figures in self._tally.items()])
        insert(
            db,
            ADD_FAILURE_TALLY.format(table="failure_tally"),
            [(*key, *figures) for key, figures in self._failures.items()],
        )
        return set(self._kinds)


def _add_up(sums: dict[Any, Any], parts: Sequence[tuple[Any, Any]]) -> None:
    """Add one report's share to the batch's: a row that many reports of a batch meet is then written once."""
    for key, figures in parts:
        before = sums.get(key)
        sums[key] = figures if before is None else tuple(map(int.__add__, before, figures))
