"""Keeping documents in SQLite: what is new, what is known, what conflicts, and the rows of what is new.

Runs inside the caller's one write transaction. Ids are given here and not by the engine: rows of every table can then
be collected over the whole batch and sent a table at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence, Set
from typing import Any

from tlsrpt.core.errors import StoreError
from tlsrpt.store.rows import Prepared, PreparedFault, PreparedReport, Row
from tlsrpt.store.sqlite_facts import (
    ADD_FAILURE,
    ADD_FILED,
    ADD_FINDING,
    ADD_POLICY,
    ADD_SIGHTING,
    FAILURE_KEY,
    FILED_KEY,
    MOST_SIGHTINGS,
)
from tlsrpt.store.sqlite_rows import insert
from tlsrpt.store.sqlite_standing import (
    VERSIONS,
    Version,
    brings_document,
    counted_of,
    gains,
    improve,
    outranks,
    settle,
    version_of,
)
from tlsrpt.store.sqlite_tallies import Sums
from tlsrpt.store.values import Kept, Released

_ADD_DOCUMENT = (
    "INSERT INTO document (id, sha256, source, form, file_name, received_at, header_from, header_report_domain,"
    " header_submitter, header_message_id, header_date, size_bytes, packing, raw)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_REPORT = (
    "INSERT INTO report (id, document_id, counted, conflict_with, foreign_, where_, identity, content,"
    " organization_name, contact_info, sender, report_id, start_datetime, end_datetime, day, received_at, successful,"
    " failed, findings, extras, dkim, dkim_domain)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_QUARANTINE = (
    "INSERT INTO quarantine (id, document_id, where_, reason, source, received_at, state)"
    " VALUES (?, ?, ?, ?, ?, ?, 'waiting')"
)
_DOCUMENTS = "SELECT sha256, id FROM document WHERE sha256 IN ({marks})"
CONFLICT = "same sender, report-id, window and domains as report {}, other content: kept, not counted"
REPLACES = "counts from now on, and report {} of the same identity no more: this one is signed by its submitter"
COUNTS = "counts from now on"
FOREIGN = "for domains that are not ours: kept, not counted"
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
        self._next_document = self._next("document")
        self._next_report = self._next("report")
        self._next_quarantine = self._next("quarantine")
        self._versions: dict[bytes, dict[bytes, Version]] = {}  # identity -> content -> report
        self._documents: dict[bytes, int] = {}  # sha256 -> id
        self._look_up(batch)
        self._places: dict[tuple[int, str], int] = {}  # document, where -> quarantine entry
        self._known_kinds = known
        self._new_kinds: set[int] = set()
        self._begin()

    def _begin(self) -> None:
        self._rows: dict[str, list[Row]] = {
            statement: []
            for statement in (
                _ADD_DOCUMENT,
                _ADD_REPORT,
                ADD_POLICY,
                ADD_FAILURE,
                ADD_FINDING,
                ADD_FILED,
                _ADD_QUARANTINE,
                ADD_SIGHTING,
            )
        }
        self._sums = Sums(self._known_kinds)

    def _next(self, table: str) -> int:
        (highest,) = self._db.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608 (our own names)
        return (highest or 0) + 1

    def _look_up(self, batch: Sequence[Prepared]) -> None:
        """What the store knows of the batch, in a few questions instead of two for each document."""
        for item in (item for prepared in batch for item in prepared.items if isinstance(item, PreparedReport)):
            self._versions[item.identity] = {}
        for identity, content, *rest in self._ask(VERSIONS, list(self._versions)):
            self._versions[identity][content] = version_of(*rest)
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
        if known is None:
            return self._keep_new(prepared, item, versions)
        if gains(known, item):
            return self._keep_better(prepared, item, known, versions)
        self._rows[ADD_SIGHTING].append(
            (known.id, prepared.sha256, prepared.source, prepared.file_name, prepared.received_at, MOST_SIGHTINGS)
        )
        return Kept(result="known", id=known.id, report_id=item.report_id)

    def _keep_new(self, prepared: Prepared, item: PreparedReport, versions: dict[bytes, Version]) -> Kept:
        foreign = item.foreign
        first = None if foreign else counted_of(versions.values())
        counted = first is None and not foreign
        version = versions[item.content] = Version(self._next_report, counted, foreign, False, item.proven)
        self._next_report += 1
        self._add_rows(version, self._document(prepared), first, item)
        if counted:
            self._sums.add(item.share, item.domains, proven=item.proven)
            return Kept(result="new", id=version.id, report_id=item.report_id)
        if first is None:
            return Kept(result="new", id=version.id, report_id=item.report_id, reason=FOREIGN)
        reason = CONFLICT.format(first.id)
        if outranks(version, first):
            self.send()
            settle(self._db, version, versions.values(), item.share)
            reason = REPLACES.format(first.id)
        return Kept(result="conflict", id=version.id, report_id=item.report_id, reason=reason)

    def _keep_better(
        self, prepared: Prepared, item: PreparedReport, known: Version, versions: dict[bytes, Version]
    ) -> Kept:
        """A report that was here already and says more by coming again."""
        document_id = self._document(prepared) if brings_document(known, item) else None
        self.send()
        counted = known.counted
        replaced, removed = improve(self._db, known, versions.values(), prepared, item, document_id)
        if removed is not None:
            self._documents.pop(removed, None)
        reason = REPLACES.format(replaced.id) if replaced is not None else "" if known.counted == counted else COUNTS
        return Kept(result="known", id=known.id, report_id=item.report_id, reason=reason)

    def _add_rows(self, version: Version, document_id: int, first: Version | None, item: PreparedReport) -> None:
        rows, id_ = self._rows, version.id
        conflict_with = None if first is None else first.id
        rows[_ADD_REPORT].append(
            (id_, document_id, int(version.counted), conflict_with, int(version.foreign), *item.report)
        )
        rows[ADD_POLICY].extend([(id_, *row) for row in item.policies])
        rows[ADD_FAILURE].extend([(id_, *row) for row in item.failures])
        rows[ADD_FINDING].extend([(id_, *row) for row in item.findings])
        rows[ADD_FILED].extend([(id_, *row) for row in item.filed])

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
        """Write all that was collected, parents before children; returns the kinds that were not known before.

        In the order of the keys where that is not the order of coming: rows of one page then come one after the other
        (5,000 reports in batches of 1,000: 0.57 s, not 0.68).
        """
        self._rows[ADD_FAILURE].sort(key=FAILURE_KEY)
        self._rows[ADD_FILED].sort(key=FILED_KEY)
        for statement, rows in self._rows.items():
            if statement is ADD_SIGHTING:
                self._db.executemany(statement, rows)
            else:
                insert(self._db, statement, rows)
        self._sums.write(self._db)
        self._new_kinds.update(self._sums.kinds)
        self._begin()
        return self._new_kinds
